//! What happens on a signal to end: Ctrl-C (SIGINT), `kill` (SIGTERM), or a closed terminal (SIGHUP).
//!
//! Training ends after the current step and saves the model; a second signal ends training at once. Everything else
//! ends at once, after temporary files are removed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
#[cfg(unix)]
use std::time::{Duration, Instant};

#[cfg(unix)]
use sclsd::data::remove_own_temporaries;

/// Outputs that may have temporary files. Global, because signals are sent to the process.
static OUTPUTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// [`AT_ONCE`], [`AFTER_STEP`], or the number of the signal that stops training.
static STATE: AtomicI32 = AtomicI32::new(AT_ONCE);
/// A signal ends the program.
const AT_ONCE: i32 = 0;
/// A signal ends training at its next step.
const AFTER_STEP: i32 = -1;

/// A closed terminal sends SIGHUP more than once, from the shell and from the kernel: within this time they count as
/// one.
#[cfg(unix)]
const SAME_HANGUP: Duration = Duration::from_secs(1);

/// A signal to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal(i32);

impl Signal {
    /// The exit code by the convention of shells: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    pub(crate) fn exit_code(self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("SIGHUP"),
            2 => f.write_str("Ctrl-C"),
            15 => f.write_str("SIGTERM"),
            other => write!(f, "signal {other}"),
        }
    }
}

/// The error with which the program ends after a signal.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// The signal.
    pub signal: Signal,
    /// Where training stopped, and how to continue.
    pub place: String,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by {} {}", self.signal, self.place)
    }
}

impl std::error::Error for Stopped {}

/// While this guard lives, the first signal does not end the program, but requests that training stop.
#[derive(Debug)]
pub(crate) struct StopAfterStep(());

impl StopAfterStep {
    /// Starts to catch the first signal.
    pub(crate) fn begin() -> Self {
        STATE.store(AFTER_STEP, Ordering::SeqCst);
        pipes(false);
        Self(())
    }

    /// The signal that arrived, if any.
    #[expect(clippy::unused_self, reason = "asked only while signals are waited for")]
    pub(crate) fn asked(&self) -> Option<Signal> {
        let state = STATE.load(Ordering::SeqCst);
        (state > AT_ONCE).then_some(Signal(state))
    }

    /// The signal that arrived, if any. Drops the guard: from here on a signal ends the program.
    #[expect(clippy::unused_self, reason = "what is dropped")]
    pub(crate) fn end(self) -> Option<Signal> {
        let state = STATE.swap(AT_ONCE, Ordering::SeqCst);
        pipes(state == AFTER_STEP);
        (state > AT_ONCE).then_some(Signal(state))
    }
}

impl Drop for StopAfterStep {
    fn drop(&mut self) {
        if STATE.swap(AT_ONCE, Ordering::SeqCst) == AFTER_STEP {
            pipes(true);
        }
    }
}

/// Sets whether a pipe without a reader ends the program. It must not while there is a model to save, because the same
/// signal may also end the reader of our output, such as `| tee`.
#[expect(unsafe_code, reason = "signals, for which the standard library has nothing")]
fn pipes(end: bool) {
    #[cfg(unix)]
    // SAFETY: neither disposition runs code of this program
    unsafe {
        libc::signal(libc::SIGPIPE, if end { libc::SIG_DFL } else { libc::SIG_IGN });
    }
    #[cfg(not(unix))]
    let _ = end;
}

/// Remembers an output.
pub(crate) fn remember(output: &Path) {
    if let Ok(mut outputs) = OUTPUTS.lock() {
        // absolute, because the working directory may differ when this is read
        outputs.push(std::path::absolute(output).unwrap_or_else(|_| output.to_owned()));
    }
}

/// Starts a thread that waits for SIGINT, SIGTERM and SIGHUP; it stops training, or removes temporary files and ends
/// the program. A signal that is ignored, as SIGHUP is under `nohup`, stays ignored.
///
/// Must be called before any other thread is started, because threads inherit which signals are blocked.
#[expect(unsafe_code, reason = "signals, for which the standard library has nothing")]
pub(crate) fn wait_for_end() {
    #[cfg(unix)]
    // SAFETY: plain data, initialised by the calls before they are read; no handler runs code of this program
    unsafe {
        let mut awaited: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut awaited);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            let mut now: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0 && now.sa_sigaction != libc::SIG_IGN {
                libc::sigaddset(&raw mut awaited, signal);
            }
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const awaited, std::ptr::null_mut());
        let waiting = std::thread::Builder::new().name("signals".into()).spawn(move || wait(awaited));
        if waiting.is_err() {
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const awaited, std::ptr::null_mut());
        }
    }
}

/// Waits for signals. The first stops training, if there is any; otherwise temporary files are removed and the signal
/// takes its default action.
#[cfg(unix)]
#[expect(unsafe_code, reason = "signals, for which the standard library has nothing")]
fn wait(awaited: libc::sigset_t) {
    let mut signal = 0;
    let mut first: Option<Instant> = None;
    loop {
        // SAFETY: both pointers are to live values
        if unsafe { libc::sigwait(&raw const awaited, &raw mut signal) } != 0 {
            return;
        }
        if STATE.compare_exchange(AFTER_STEP, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            first = Some(Instant::now());
        } else if signal != libc::SIGHUP || first.is_none_or(|first| first.elapsed() > SAME_HANGUP) {
            break;
        }
    }
    if let Ok(outputs) = OUTPUTS.lock() {
        outputs.iter().for_each(|output| remove_own_temporaries(output));
    }
    // SAFETY: the default handler is not code of this program; the raised signal ends the process
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const awaited, std::ptr::null_mut());
        libc::raise(signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_called_and_coded_as_shells_do() {
        let all = [(2, "Ctrl-C", 130), (15, "SIGTERM", 143), (1, "SIGHUP", 129)];
        for (number, name, code) in all {
            assert_eq!((Signal(number).to_string(), Signal(number).exit_code()), (name.to_owned(), code));
        }
    }
}
