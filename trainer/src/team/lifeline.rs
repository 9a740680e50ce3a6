//! Who is still alive. MPI itself waits for a process that is gone for ever; an open connection to process 0 does not.
//!
//! A process that dies has its connections closed by its system, which is heard of at once; a machine that vanishes is
//! heard of by its silence.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(2);
/// Silence after which a process counts as gone.
const SILENCE: Duration = Duration::from_secs(20);
/// "I am here", "I am done", "I lost another one and say so to the user".
const HERE: u8 = b'h';
const DONE: u8 = b'd';
const LOST: u8 = b'l';
/// Nobody is lost.
const NOBODY: usize = usize::MAX;
/// Somebody whom process 0 speaks of.
pub(super) const OTHER: usize = usize::MAX - 1;

#[derive(Debug)]
struct Shared {
    lost: AtomicUsize,
    ended: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

/// Connections to process 0, or on process 0 to all others.
#[derive(Debug)]
pub(super) struct Lifeline {
    shared: Arc<Shared>,
}

impl Lifeline {
    /// Starts to watch. `listener`: process 0's; `address`: its host and port. A connection that cannot be made is no
    /// reason to stop: MPI's launcher then has to end the others.
    pub(super) fn new(rank: usize, size: usize, listener: Option<TcpListener>, address: &str) -> Self {
        let shared = Arc::new(Shared {
            lost: AtomicUsize::new(NOBODY),
            ended: AtomicBool::new(false),
            streams: Mutex::new(Vec::new()),
        });
        match listener {
            Some(listener) => {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || accept(&listener, size, &shared));
            }
            None => {
                if let Some(mut stream) = connect(address)
                    && stream.write_all(&(rank as u32).to_le_bytes()).is_ok()
                {
                    watch(stream, 0, &shared);
                }
            }
        }
        let beating = Arc::clone(&shared);
        std::thread::spawn(move || {
            while !beating.ended.load(Ordering::Relaxed) {
                beating.send(HERE);
                std::thread::sleep(BEAT);
            }
        });
        Self { shared }
    }

    /// The first process that was found to be gone.
    pub(super) fn lost(&self) -> Option<usize> {
        Some(self.shared.lost.load(Ordering::Relaxed)).filter(|&rank| rank != NOBODY)
    }

    /// Says that this process is done, so that its end is no loss.
    pub(super) fn end(&self) {
        self.shared.send(DONE);
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn send(&self, sign: u8) {
        for stream in self.streams.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            // A closed one is found out by who reads it.
            let _ = stream.write_all(&[sign]);
        }
    }

    fn lose(&self, rank: usize) {
        if !self.ended.load(Ordering::Relaxed) {
            let news = self
                .lost
                .compare_exchange(NOBODY, rank, Ordering::Relaxed, Ordering::Relaxed);
            if news.is_ok() && rank != 0 {
                // Only process 0 has others to tell.
                self.send(LOST);
            }
        }
    }
}

fn accept(listener: &TcpListener, size: usize, shared: &Arc<Shared>) {
    for stream in listener.incoming().take(size - 1) {
        let mut rank = [0; 4];
        if let Ok(mut stream) = stream
            && stream.read_exact(&mut rank).is_ok()
        {
            watch(stream, u32::from_le_bytes(rank) as usize, shared);
        }
    }
}

fn connect(address: &str) -> Option<TcpStream> {
    let port = address.rsplit_once(':')?.1;
    // A machine that does not know its own name is still itself.
    for _ in 0..20 {
        for address in [address.to_owned(), format!("127.0.0.1:{port}")] {
            if let Ok(stream) = TcpStream::connect(address) {
                return Some(stream);
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    None
}

/// Reads signs of `rank` on a thread until it is done or lost.
fn watch(stream: TcpStream, rank: usize, shared: &Arc<Shared>) {
    let Ok(mut reading) = stream.try_clone() else { return };
    let _ = reading.set_read_timeout(Some(BEAT));
    let _ = stream.set_nodelay(true);
    shared
        .streams
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(stream);
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        let (mut sign, mut heard) = ([0; 64], Instant::now());
        loop {
            match reading.read(&mut sign) {
                Ok(0) => return shared.lose(rank),
                Ok(n) if sign[..n].contains(&DONE) => return,
                Ok(n) if sign[..n].contains(&LOST) => return shared.lose(OTHER),
                Ok(_) => heard = Instant::now(),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if heard.elapsed() > SILENCE {
                        return shared.lose(rank);
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return shared.lose(rank),
            }
        }
    });
}
