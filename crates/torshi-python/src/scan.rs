//! Scanning: paths, a policy and limits in, results as JSON out. Threads read and judge without the
//! interpreter, which is only held to take results. Nothing is imported, built or called.

use crate::ffi::fresh::expect;
use crate::policy::{limits as limits_of, PyPolicy};
use crate::source::stream_of;
use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use torshi_scan::code::table_json;
use torshi_scan::run::Next;
use torshi_scan::{pickles_of as pickles, scan_bytes as scan, Run, ScanLimits, Settings};

/// Results taken at once: a caller that shows progress wants its turn.
const MOST_AT_ONCE: usize = 256;
/// The longest a caller may wait without its turn to look for an interrupt.
const LONGEST_WAIT: f64 = 10.0;

/// A scan of files that goes on in threads of its own.
#[pyclass(module = "torshi._native", frozen)]
struct ScanRun {
    run: Mutex<Run>,
}

#[pymethods]
impl ScanRun {
    #[new]
    fn new(
        paths: Vec<PathBuf>, policy: &PyPolicy, limits: Option<&Bound<'_, PyAny>>, jobs: Option<usize>,
    ) -> PyResult<Self> {
        let settings = settings_of(policy, limits)?;
        let run = Run::start(paths, settings, jobs, expect).map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(ScanRun { run: Mutex::new(run) })
    }

    /// Results that are ready, in the order of the paths; waits up to `within` seconds for the first. None:
    /// there are no more.
    fn poll(&self, py: Python<'_>, within: f64) -> PyResult<Option<Vec<String>>> {
        let within = Duration::from_secs_f64(within.clamp(0.0, LONGEST_WAIT));
        py.detach(|| {
            let mut run = self.run.lock().map_err(|_| PyRuntimeError::new_err("the scan has failed"))?;
            let until = Instant::now() + within;
            let mut ready = Vec::new();
            loop {
                let left =
                    if ready.is_empty() { until.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
                match run.next(left) {
                    Next::Result(result) => ready.push(result.to_json()),
                    Next::End if ready.is_empty() => return Ok(None),
                    Next::Wait | Next::End => return Ok(Some(ready)),
                }
                if ready.len() >= MOST_AT_ONCE {
                    return Ok(Some(ready));
                }
            }
        })
    }

    /// Files to scan (0 while folders are being listed), files done, bytes of those.
    fn progress(&self) -> PyResult<(u64, u64, u64)> {
        let run = self.run.lock().map_err(|_| PyRuntimeError::new_err("the scan has failed"))?;
        let progress = run.progress();
        Ok((progress.files, progress.done, progress.bytes))
    }
}

fn settings_of(policy: &PyPolicy, limits: Option<&Bound<'_, PyAny>>) -> PyResult<Settings> {
    let mut all = ScanLimits::default();
    if let Some(given) = limits.filter(|limits| !limits.is_none()) {
        all.file = given.getattr("file")?.extract()?;
        all.expanded = given.getattr("expanded")?.extract()?;
        all.ratio = given.getattr("ratio")?.extract()?;
        all.nesting = given.getattr("nesting")?.extract()?;
        all.entries = given.getattr("entries")?.extract()?;
        all.load = limits_of(Some(&given.getattr("load")?))?;
    }
    Ok(Settings { policy: policy.inner.clone(), limits: all })
}

/// What a scan says of bytes, as JSON.
#[pyfunction]
#[pyo3(signature = (data, name, policy, limits=None))]
fn scan_bytes(
    py: Python<'_>, data: &Bound<'_, PyAny>, name: &str, policy: &PyPolicy, limits: Option<&Bound<'_, PyAny>>,
) -> PyResult<String> {
    let settings = settings_of(policy, limits)?;
    let stream = stream_of(data)?;
    let bytes = stream.as_slice();
    Ok(py.detach(|| scan(bytes, name, &settings).to_json()))
}

/// What a scan says of bytes, as JSON, and the pickles in them: entry, offset in it, and bytes of each.
#[pyfunction]
#[pyo3(signature = (data, name, policy, limits=None))]
#[allow(clippy::type_complexity)] // a tuple of tuples, as Python takes it
fn pickles_of<'py>(
    py: Python<'py>, data: &Bound<'py, PyAny>, name: &str, policy: &PyPolicy, limits: Option<&Bound<'py, PyAny>>,
) -> PyResult<(String, Vec<(String, u64, Bound<'py, PyBytes>)>)> {
    let settings = settings_of(policy, limits)?;
    let stream = stream_of(data)?;
    let bytes = stream.as_slice();
    let (result, found) = py.detach(|| pickles(bytes, name, &settings));
    let found = found.into_iter().map(|pickle| (pickle.entry, pickle.offset, PyBytes::new(py, &pickle.data)));
    Ok((result.to_json(), found.collect()))
}

/// The table of finding codes, as JSON.
#[pyfunction]
fn scan_codes() -> String {
    table_json()
}

/// Adds everything here to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ScanRun>()?;
    module.add_function(wrap_pyfunction!(scan_bytes, module)?)?;
    module.add_function(wrap_pyfunction!(pickles_of, module)?)?;
    module.add_function(wrap_pyfunction!(scan_codes, module)?)
}
