//! Support vector machines: libsvm is handed pointers, and believes the counts beside them.
use super::*;
use crate::policy::rules::scipy;

/// Attributes of the classes that say which machine it is; a state must not.
const OF_THE_CLASS: &[&str] = &["_impl", "_sparse_kernels"];

/// The attributes of a machine of libsvm.
pub(in super::super) fn state<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    super::state(w, v, target)?;
    let Some(Shape::Instance { name, state: None, .. }) = target.map(|target| w.shape(target)) else {
        return refuse(w, v, "a machine without a state so far");
    };
    demand(OF_THE_CLASS.iter().all(|key| w.entry(v, key).is_none()), w, v, "no attribute of the class")?;
    const FITTED: &[&str] = &[
        "support_",
        "support_vectors_",
        "_n_support",
        "_dual_coef_",
        "_intercept_",
        "_probA",
        "_probB",
        "shape_fit_",
        "n_features_in_",
    ];
    if FITTED[..7].iter().all(|key| w.entry(v, key).is_none()) {
        return Ok(());
    }
    demand(fitted(w, v, name).is_some(), w, v, "vectors, coefficients and counts that agree")
}

fn fitted<W: View>(w: &W, v: W::V, name: &str) -> Option<()> {
    let entry = |key: &str| w.entry(v, key);
    let floats = |key: &str| array(w, entry(key)?).filter(|array| array.is('f', 8) && array.shape.len() == 1);
    let support = array(w, entry("support_")?).filter(|array| array.is('i', 4))?;
    let counts = array(w, entry("_n_support")?).filter(|array| array.is('i', 4) && array.shape.len() == 1)?;
    let (vectors, classes) = (support.count, counts.count);
    let pairs = classes.checked_mul(classes.checked_sub(1)?)? / 2;
    let machine = matches!(name, "SVC" | "NuSVC");
    if support.shape.len() != 1 || !(2..=1 << 15).contains(&classes) || !machine && classes != 2 {
        return None;
    }
    let total = counts.integers(w)?.try_fold(0u64, |sum, n| sum.checked_add(u64::try_from(n).ok()?))?;
    // One-class and regression machines count twice or not at all, and nobody reads it.
    if machine && total != vectors {
        return None;
    }
    let features = u64::try_from(int(w, entry("n_features_in_")?)?).ok()?;
    let Shape::Tuple([rows, columns]) = w.shape(entry("shape_fit_")?) else { return None };
    let (rows, columns) = (u64::try_from(int(w, *rows)?).ok()?, u64::try_from(int(w, *columns)?).ok()?);
    if columns != features || !support.within(w, 0, rows) {
        return None;
    }
    let (intercepts, a, b) = (floats("_intercept_")?, floats("_probA")?, floats("_probB")?);
    let each = |array: &Array<'_, W::V>| array.count == pairs;
    let probabilities =
        a.count == 0 && b.count == 0 || each(&a) && each(&b) || !machine && a.count <= 1 && b.count == 0;
    if !each(&intercepts) || !probabilities {
        return None;
    }
    let precomputed = matches!(w.shape(entry("kernel")?), Shape::Text("precomputed"));
    let dense = |key: &str, wide: [u64; 2]| {
        array(w, entry(key)?).filter(|array| array.is('f', 8) && !array.fortran && array.shape == wide).map(drop)
    };
    match w.shape(entry("_sparse")?) {
        Shape::Bool(false) => {
            dense("_dual_coef_", [classes - 1, vectors])?;
            // Kernels that were computed before are looked up by row.
            match precomputed && array(w, entry("support_vectors_")?)?.shape == [0, 0] {
                true => Some(()),
                false => dense("support_vectors_", [vectors, if precomputed { rows } else { features }]),
            }
        }
        Shape::Bool(true) => {
            let (height, _, stored) = scipy::compressed(w, entry("support_vectors_")?, "csr")?;
            let (rows, columns, full) = scipy::compressed(w, entry("_dual_coef_")?, "csr")?;
            let whole = full == rows.checked_mul(columns)? && [rows, columns] == [classes - 1, vectors];
            (height == vectors && whole && stored <= 1 << 40).then_some(())
        }
        _ => None,
    }
}
