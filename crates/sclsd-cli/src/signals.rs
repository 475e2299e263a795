//! What happens when the program is told to end, by Ctrl-C or by `kill`: temporary files are removed first.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

#[cfg(unix)]
use sclsd::data::remove_own_temporaries;

/// Outputs whose temporary files may be there. A signal belongs to the process, and so does this list.
static OUTPUTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Remembers an output.
pub(crate) fn remember(output: &Path) {
    if let Ok(mut outputs) = OUTPUTS.lock() {
        // absolute, since this is read at another time
        outputs.push(std::path::absolute(output).unwrap_or_else(|_| output.to_owned()));
    }
}

/// Ends the program by SIGINT and SIGTERM as ever, but for the temporary files, which a thread that waits for these signals
/// removes before. A signal that is ignored, as under `nohup`, stays so.
///
/// To be called before any other thread is started: threads take over which signals are blocked.
#[expect(unsafe_code, reason = "signals, for which the standard library has nothing")]
pub(crate) fn clean_up_at_end() {
    #[cfg(unix)]
    // SAFETY: plain data, initialised by the calls before they are read; no handler runs any code of ours
    unsafe {
        let mut awaited: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut awaited);
        for signal in [libc::SIGINT, libc::SIGTERM] {
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

/// Waits for one of the signals, removes temporary files and lets the signal do what it does.
#[cfg(unix)]
#[expect(unsafe_code, reason = "signals, for which the standard library has nothing")]
fn wait(awaited: libc::sigset_t) {
    let mut signal = 0;
    // SAFETY: both pointers are to live values
    if unsafe { libc::sigwait(&raw const awaited, &raw mut signal) } != 0 {
        return;
    }
    if let Ok(outputs) = OUTPUTS.lock() {
        outputs.iter().for_each(|output| remove_own_temporaries(output));
    }
    // SAFETY: the default handler is no code of ours; the signal that is raised ends the process
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const awaited, std::ptr::null_mut());
        libc::raise(signal);
    }
}
