//! Distances: a weight for each feature where one is read for each.
use super::*;

/// `(power, vector, matrix)`, given to an empty distance.
pub(in super::super) fn state<W: View>(w: &W, v: W::V, target: Option<W::V>) -> Outcome {
    let expected = "(power, vector, matrix)";
    let Some(Shape::Instance { name, state: None, .. }) = target.map(|target| w.shape(target)) else {
        return refuse(w, v, "a distance without a state so far");
    };
    let Some((vector, matrix)) = parts(w, v) else { return refuse(w, v, expected) };
    let [power, ..] = tuple(w, v, expected)? else { return refuse(w, v, expected) };
    let square = matrix[0] == matrix[1];
    let sound = !name.starts_with("Mahalanobis") || square && matrix[0] > 0;
    demand(sound && vector <= 1 << 24 && matches!(w.shape(*power), Shape::Float(_) | Shape::Int(_)), w, v, expected)
}

/// The length of the vector and the shape of the matrix.
fn parts<W: View>(w: &W, state: W::V) -> Option<(u64, [u64; 2])> {
    let Shape::Tuple([_, vector, matrix]) = w.shape(state) else { return None };
    let vector = array(w, *vector).filter(|array| array.is('f', 8))?;
    let matrix = array(w, *matrix).filter(|array| array.is('f', 8) && !array.fortran)?;
    match (&vector.shape[..], &matrix.shape[..]) {
        ([length], [rows, columns]) => Some((*length, [*rows, *columns])),
        _ => None,
    }
}

/// Can a distance be used on points of so many features?
pub(super) fn fits<W: View>(w: &W, v: W::V, features: u64) -> bool {
    let Shape::Instance { module: "sklearn.metrics._dist_metrics", name, state: Some(state), .. } = w.shape(v) else {
        return false;
    };
    let Some((vector, matrix)) = parts(w, state) else { return false };
    match name.trim_end_matches("32").trim_end_matches("64") {
        "SEuclideanDistance" => vector == features,
        "MinkowskiDistance" => vector == 0 || vector == features,
        "MahalanobisDistance" => matrix == [features, features],
        "HaversineDistance" => features == 2,
        _ => true,
    }
}
