//! Paths to files: folders are walked, in the order of their names; links to files are followed, links to
//! folders are not. Files are told from pipes and devices, which would never end.

use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// A file to scan, or why there is none.
pub(crate) type Found = Result<PathBuf, (PathBuf, String)>;

/// Every file at or below a path.
pub(crate) fn files(path: &Path, each: &mut dyn FnMut(Found)) {
    match std::fs::metadata(path) {
        Err(error) => return each(Err((path.to_owned(), error.to_string()))),
        Ok(metadata) if !metadata.is_dir() => return each(of_kind(path.to_owned(), metadata.is_file())),
        Ok(_) => {}
    }
    for entry in WalkDir::new(path).sort_by_file_name() {
        match entry {
            Ok(entry) if entry.file_type().is_file() => each(Ok(entry.into_path())),
            Ok(entry) if entry.file_type().is_symlink() => match std::fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_file() => each(Ok(entry.into_path())),
                _ => {} // a folder, or nowhere
            },
            Ok(_) => {}
            Err(error) => {
                let path = error.path().unwrap_or(path).to_owned();
                each(Err((path, error.to_string())));
            }
        }
    }
}

fn of_kind(path: PathBuf, is_file: bool) -> Found {
    match is_file {
        true => Ok(path),
        false => Err((path, "neither a file nor a folder".to_owned())),
    }
}
