//! Rules for numpy, whose C code believes the states it is given.
//!
//! A dtype is checked once, when its state is set, and only a checked dtype may be used: every rule asks
//! [`dtype::checked`]. Sizes are those of 64-bit numpy where pointers count; others are refused, not guessed.
pub(crate) mod contents;
pub(crate) mod dtype;
pub(crate) mod ndarray;
pub(crate) mod random;
