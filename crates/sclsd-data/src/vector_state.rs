//! Clears vector register state that matrix products leave behind.
//!
//! On x86-64, faer's matrix product kernels return with the upper halves of the vector registers in use. Code compiled
//! for SSE2, such as this crate by default, then waits for them in every instruction and is up to twenty times slower.

/// Clears the upper halves of the vector registers of this thread. Call this after matrix products.
#[inline]
pub fn leave_vector_code() {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        #[expect(unsafe_code, reason = "there is no safe way to name the instruction")]
        // SAFETY: the CPU has the instruction, which changes no state that compiled code relies on across a call.
        unsafe {
            std::arch::x86_64::_mm256_zeroupper();
        }
    }
}

/// Like [`leave_vector_code`], on every thread of the pool. Call this after decompositions, which run on all threads.
pub(crate) fn leave_vector_code_everywhere() {
    rayon::broadcast(|_| leave_vector_code());
    leave_vector_code();
}
