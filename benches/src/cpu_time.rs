//! CPU time of this process: on a busy machine it says more of a software adapter than the clock does.

use std::fs;

/// Seconds that the threads alive now have run; `None` where the system does not say (it is Linux's `schedstat`).
pub fn seconds() -> Option<f64> {
    let mut nanoseconds = 0;
    for task in fs::read_dir("/proc/self/task").ok()? {
        // A thread may end meanwhile.
        if let Ok(text) = fs::read_to_string(task.ok()?.path().join("schedstat")) {
            nanoseconds += parse(&text)?;
        }
    }
    Some(nanoseconds as f64 * 1e-9)
}

fn parse(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_time_and_threads_are_counted() {
        assert_eq!(parse("152305114 22581217 801\n"), Some(152_305_114));
        assert_eq!(parse("\n"), None);
        let Some(before) = seconds() else { return };
        let (sender, receiver) = std::sync::mpsc::channel::<u64>();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let start = std::time::Instant::now();
            let mut value = 1_u64;
            while start.elapsed().as_millis() < 50 {
                value = std::hint::black_box(value.wrapping_mul(3));
            }
            sender.send(value).ok();
            // Alive until it was counted.
            wait.recv().ok();
        });
        receiver.recv().expect("the thread ends its work");
        let after = seconds().expect("as before");
        done.send(()).expect("the thread waits");
        thread.join().expect("the thread ends");
        assert!(after > before, "{before} {after}");
    }
}
