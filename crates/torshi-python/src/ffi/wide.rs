//! Loops over bytes, compiled for the widest registers of the processor that runs them. Reads and writes nothing itself.

/// A loop. Its `run` has to be `#[inline(always)]`, and so has what that calls (a closure cannot be): what is not inlined
/// is compiled for every processor.
pub trait Loop {
    type Out;
    fn run(self) -> Self::Out;
}

/// Runs a loop.
#[inline(always)]
pub fn wide<L: Loop>(work: L) -> L::Out {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has these instructions.
        return unsafe { with_avx2(work) };
    }
    work.run()
}

/// Only where the processor has AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn with_avx2<L: Loop>(work: L) -> L::Out {
    work.run()
}
