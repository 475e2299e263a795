//! Settings of the system's memory allocator.

/// Makes the allocator retain freed memory for the next step instead of returning it to the system, which would have to
/// clear the memory again: this saves a tenth of a training step. Does nothing if the C library is not GNU's.
#[expect(unsafe_code, reason = "two numbers for the C library's allocator, which has no other interface")]
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt accepts any two numbers and ignores invalid ones
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}
