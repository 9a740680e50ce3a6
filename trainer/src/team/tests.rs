//! Several processes played by threads of this one.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::aux_loss::CellHead;
use burn::module::Param;
use burn::tensor::Tensor;
use burn_flex::Flex;
use std::sync::{Arc, Barrier, Mutex};

/// A thread that plays a process.
struct Played {
    rank: usize,
    size: usize,
    board: Arc<(Barrier, Mutex<Vec<Vec<f64>>>)>,
}

impl Played {
    fn all(&self, numbers: Vec<f64>) -> Vec<Vec<f64>> {
        let (barrier, board) = &*self.board;
        board.lock().unwrap()[self.rank] = numbers;
        barrier.wait();
        let all = board.lock().unwrap().clone();
        barrier.wait();
        all
    }
}

impl Team for Played {
    fn rank(&self) -> usize {
        self.rank
    }
    fn size(&self) -> usize {
        self.size
    }
    fn sum(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        let sums = self.sum_exactly(numbers.into_iter().map(f64::from).collect())?;
        Ok(sums.into_iter().map(|x| x as f32).collect())
    }
    fn sum_exactly(&self, numbers: Vec<f64>) -> Result<Vec<f64>> {
        let all = self.all(numbers);
        assert!(
            all.iter().all(|x| x.len() == all[0].len()),
            "ranks send as much as each other"
        );
        Ok((0..all[0].len()).map(|i| all.iter().map(|x| x[i]).sum()).collect())
    }
    fn broadcast(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        let all = self.all(numbers.into_iter().map(f64::from).collect());
        Ok(all[0].iter().map(|&x| x as f32).collect())
    }
}

/// What `f` gives on each of `size` processes.
fn played<R: Send>(size: usize, f: impl Fn(&Played) -> R + Sync) -> Vec<R> {
    let board = Arc::new((Barrier::new(size), Mutex::new(vec![Vec::new(); size])));
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..size)
            .map(|rank| {
                let process = Played {
                    rank,
                    size,
                    board: Arc::clone(&board),
                };
                let f = &f;
                scope.spawn(move || f(&process))
            })
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    })
}

fn head(value: f32) -> CellHead<Flex> {
    CellHead {
        weight: Param::from_tensor(Tensor::full([3, 5], value, &Default::default())),
    }
}

fn weights(head: &CellHead<Flex>) -> Vec<f32> {
    head.weight.val().into_data().into_vec().unwrap()
}

#[test]
fn gradients_are_summed_also_where_one_process_has_none() {
    let sums = played(3, |process| {
        let head = head(0.0);
        let own = Tensor::<Flex, 2>::full([3, 5], 1.5 + process.rank as f32, &Default::default());
        let gradients = match process.rank {
            0 => vec![None],
            1 => Vec::new(),
            _ => vec![Some(own.into_primitive().tensor())],
        };
        let sum = sum_gradients::<Flex, _>(process, &head, gradients).unwrap();
        let none = sum_gradients::<Flex, _>(process, &head, vec![None]).unwrap();
        assert!(none[0].is_none());
        floats::<Flex>(sum[0].clone().unwrap())
    });
    assert!(sums.iter().all(|sum| *sum == vec![3.5; 15]), "{sums:?}");
}

#[test]
fn weights_are_shared_and_a_drift_is_found() {
    let outcomes = played(2, |process| {
        let own = head(1.0 + process.rank as f32);
        let apart = check_weights::<Flex, _>(process, &own).is_err();
        let shared = share_weights::<Flex, _>(process, own).unwrap();
        (
            apart,
            weights(&shared),
            check_weights::<Flex, _>(process, &shared).is_ok(),
        )
    });
    for (apart, weights, alike) in outcomes {
        assert!(apart && alike);
        assert_eq!(weights, vec![1.0; 15]);
    }
}
