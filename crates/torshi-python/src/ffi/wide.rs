//! Loops over bytes, compiled for the widest registers of the processor that runs them.

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

/// What becomes of a number. Has to be `#[inline(always)]`.
pub trait Change<const N: usize> {
    fn change(number: [u8; N]) -> [u8; N];
}

/// Changes one number after the other, into other memory: in place, compilers may write only what is changed, which takes
/// longer. Bytes that are no whole number at the end are left out.
///
/// Panics if `out` is shorter.
pub fn change<const N: usize, C: Change<N>>(bytes: &[u8], out: &mut [u8]) {
    assert!(out.len() >= bytes.len(), "no room for what is changed");
    wide(Changing::<N, C> { bytes, out, _change: std::marker::PhantomData });
}

/// `out` is at least as long as `bytes`.
struct Changing<'a, const N: usize, C> {
    bytes: &'a [u8],
    out: &'a mut [u8],
    _change: std::marker::PhantomData<C>,
}

impl<const N: usize, C: Change<N>> Loop for Changing<'_, N, C> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let (from, to) = (self.bytes.as_ptr().cast::<[u8; N]>(), self.out.as_mut_ptr().cast::<[u8; N]>());
        let (count, mut i) = (self.bytes.len() / N, 0);
        while i < count {
            // SAFETY: there are `count` numbers, and as much room; slices do not overlap if one of them is written to.
            unsafe { to.add(i).write(C::change(from.add(i).read())) };
            i += 1;
        }
    }
}
