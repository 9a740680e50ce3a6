//! A team under `mpirun` or `srun`: one process per device.

use super::Team;
use super::lifeline::{Lifeline, OTHER};
use crate::{Error, Result};
use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::Equivalence;
use mpi::environment::{Universe, processor_name};
use mpi::request::{Request, StaticScope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use std::time::Duration;

/// This process in an MPI world. MPI is only called from the thread that made it.
pub struct Mpi {
    /// Ended by [`Self::finish`]: while another process is gone, ending MPI would wait for it for ever.
    universe: std::mem::ManuallyDrop<Universe>,
    world: SimpleCommunicator,
    lifeline: Option<Lifeline>,
}

impl Mpi {
    /// Enters the world; `None` if this process is the only one of it.
    ///
    /// # Errors
    /// MPI cannot be started.
    pub fn enter() -> Result<Option<Self>> {
        let started = mpi::initialize_with_threading(Threading::Funneled);
        let Some((universe, _)) = started else {
            return Err(Error::Argument("MPI was started already".to_owned()));
        };
        let world = universe.world();
        if world.size() == 1 {
            return Ok(None);
        }
        let mut team = Self {
            universe: std::mem::ManuallyDrop::new(universe),
            world,
            lifeline: None,
        };
        let host = processor_name().unwrap_or_else(|_| "localhost".to_owned());
        let (rank, size) = (team.rank(), team.size());
        let listener = (rank == 0)
            .then(|| std::net::TcpListener::bind(("0.0.0.0", 0)))
            .transpose();
        let listener = listener.map_err(|e| Error::io("listen on", "a port for the other processes", e))?;
        let port = listener
            .as_ref()
            .and_then(|l| l.local_addr().ok())
            .map_or(0, |a| a.port());
        let address = team.address(&host, port)?;
        team.lifeline = Some(Lifeline::new(rank, size, listener, &address));
        Ok(Some(team))
    }

    /// Ends MPI, when all processes are done.
    pub fn finish(mut self) {
        if let Some(lifeline) = &self.lifeline {
            lifeline.end();
        }
        // SAFETY: nothing uses it after this.
        unsafe { std::mem::ManuallyDrop::drop(&mut self.universe) };
    }

    /// Whether this process is the one that tells the user what `finish` cannot: the lowest that is left.
    pub fn tells(&self) -> bool {
        match self.lifeline.as_ref().and_then(Lifeline::lost) {
            Some(0) => self.rank() == 1,
            _ => self.rank() == 0,
        }
    }

    /// Process 0's host and port, known to all.
    fn address(&self, host: &str, port: u16) -> Result<String> {
        const LENGTH: usize = 256;
        let mut text: Vec<f32> = format!("{host}:{port}").bytes().map(f32::from).collect();
        text.resize(LENGTH, 0.0);
        let text = self.broadcast(text)?;
        let bytes: Vec<u8> = text.iter().map(|&x| x as u8).take_while(|&x| x > 0).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits for `request`, but not for a process that is gone.
    fn wait<R: ?Sized>(&self, mut request: Request<'static, R, StaticScope>) -> Result<()> {
        let mut tries = 0u32;
        loop {
            request = match request.test() {
                Ok(_) => return Ok(()),
                Err(request) => request,
            };
            if let Some(rank) = self.lifeline.as_ref().and_then(Lifeline::lost) {
                // MPI still holds the buffers; they are leaked, and this process is about to end.
                std::mem::forget(request);
                let who = match rank {
                    OTHER => "a process".to_owned(),
                    rank => format!("process {rank}"),
                };
                return Err(Error::ProcessLost(format!("{who} of {}", self.size())));
            }
            tries += 1;
            match tries {
                0..200 => std::thread::yield_now(),
                _ => std::thread::sleep(Duration::from_micros(100)),
            }
        }
    }

    fn reduce<T: Equivalence + Copy + Default + 'static>(&self, numbers: Vec<T>) -> Result<Vec<T>> {
        if numbers.is_empty() {
            return Ok(numbers);
        }
        let n = numbers.len();
        let send: &'static mut [T] = Box::leak(numbers.into_boxed_slice());
        let receive: &'static mut [T] = Box::leak(vec![T::default(); n].into_boxed_slice());
        let (sent, received): (*mut [T], *mut [T]) = (send, receive);
        // SAFETY: both come from boxes that nobody else holds; they are boxes again only when MPI has let go.
        let request = unsafe {
            self.world
                .immediate_all_reduce_into(StaticScope, &*sent, &mut *received, SystemOperation::sum())
        };
        self.wait(request)?;
        // SAFETY: as above.
        unsafe {
            drop(Box::from_raw(sent));
            Ok(Vec::from(Box::from_raw(received)))
        }
    }
}

impl Team for Mpi {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn sum(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        self.reduce(numbers)
    }

    fn sum_exactly(&self, numbers: Vec<f64>) -> Result<Vec<f64>> {
        self.reduce(numbers)
    }

    fn broadcast(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        let shared: *mut [f32] = Box::leak(numbers.into_boxed_slice());
        // SAFETY: it comes from a box that nobody else holds, and is a box again only when MPI has let go.
        let request = unsafe {
            self.world
                .process_at_rank(0)
                .immediate_broadcast_into(StaticScope, &mut *shared)
        };
        self.wait(request)?;
        // SAFETY: as above.
        unsafe { Ok(Vec::from(Box::from_raw(shared))) }
    }
}
