//! The state that vector code leaves behind.
//!
//! On x86-64 the kernels behind faer's products return with the upper halves of the vector registers in use. Code
//! compiled for SSE2, as ours is, then waits for them in every instruction: up to twenty times as long.

/// Frees the upper halves of the vector registers of this thread; to be called after products of matrices.
#[inline]
pub fn leave_vector_code() {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        #[expect(unsafe_code, reason = "there is no safe way to name the instruction")]
        // SAFETY: the CPU has the instruction, which changes nothing that compiled code holds across a call.
        unsafe {
            std::arch::x86_64::_mm256_zeroupper();
        }
    }
}

/// The same on every thread of the pool: to be called after decompositions, which run on all of them.
pub(crate) fn leave_vector_code_everywhere() {
    rayon::broadcast(|_| leave_vector_code());
    leave_vector_code();
}
