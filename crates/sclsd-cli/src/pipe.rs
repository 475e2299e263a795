//! What happens when the reader of standard output closes the pipe, as `| head` does.

/// Lets a closed pipe end the program quietly, as other programs do; Rust's default would be a panic.
#[expect(unsafe_code, reason = "the only way to choose what a signal does")]
pub(crate) fn end_with_reader() {
    #[cfg(unix)]
    // SAFETY: this is called before any thread is started, and the default handler is no code of ours
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
