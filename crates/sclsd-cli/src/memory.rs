//! What the program asks of the system's allocator.

/// Keeps memory that was freed for the next step instead of handing it back to the system after every one, which would
/// have to clear it again: a tenth of a training step. Does nothing where the C library is not GNU's.
#[expect(unsafe_code, reason = "two numbers for the C library's allocator, which has no other way to be told")]
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: mallopt takes any two numbers, and leaves things as they are where it does not like them
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}
