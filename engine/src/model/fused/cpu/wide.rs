//! Loops compiled twice: for any processor, and for one with wider vectors, chosen at run time.
//!
//! The program is built for the oldest x86-64, whose vectors hold four numbers; most processors since 2013 have eight.

/// A loop. `run` must be `#[inline(always)]`: only what is inlined is compiled for the wider vectors.
pub(super) trait Loop {
    /// What it gives.
    type Output;
    fn run(self) -> Self::Output;
}

/// Runs `body` with the widest vectors there are.
pub(super) fn wide<L: Loop>(body: L) -> L::Output {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function was compiled for.
        return unsafe { avx2(body) };
    }
    body.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<L: Loop>(body: L) -> L::Output {
    body.run()
}

/// A function whose body is compiled twice as above: `wide_fn! { pub fn f(x: &[f32]) -> f32 { … } }`.
macro_rules! wide_fn {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $of:ty),* $(,)?) $(-> $to:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name($($arg: $of),*) $(-> $to)? {
            #[inline(always)]
            fn body($($arg: $of),*) $(-> $to)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn wider($($arg: $of),*) $(-> $to)? {
                    body($($arg),*)
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has what the function was compiled for.
                    return unsafe { wider($($arg),*) };
                }
            }
            body($($arg),*)
        }
    };
}
pub(super) use wide_fn;
