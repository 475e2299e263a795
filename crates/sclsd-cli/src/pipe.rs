//! What happens when the reader of standard output goes away, as `| head` does.

/// Ends the program quietly then, as other programs do; Rust's own way would be a panic.
#[expect(unsafe_code, reason = "the one way to choose what a signal does")]
pub(crate) fn end_with_reader() {
    #[cfg(unix)]
    // SAFETY: this is called before any thread is started, and the default handler is no code of ours
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}
