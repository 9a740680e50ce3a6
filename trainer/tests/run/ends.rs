//! A run that cannot go on says so, and never that it is done.

use crate::house::{Watch, house, ready};
use burn::backend::Autodiff;
use burn_flex::Flex;
use folio_trainer::Result;
use folio_trainer::metrics::{EvalLine, TrainLine};
use folio_trainer::recipe::{Drawn, Plan};
use folio_trainer::run::{Reporter, train_with};
use folio_trainer::team::Team;
use std::path::Path;
use std::sync::atomic::AtomicBool;

#[test]
fn a_batch_whose_making_panics_is_an_error() {
    let (dir, recipe) = house();
    let mut setup = ready(&recipe, &dir.path().join("run"), false).unwrap();
    // A request for a set that is not there: it cannot be asked for by a recipe.
    setup.train.0.clear();
    let error = Watch::default().train(setup).unwrap_err().to_string();
    assert!(error.contains("making the batch of step 1 failed"), "{error}");
}

#[test]
fn batches_that_end_before_the_plan_are_an_error() {
    let (dir, recipe) = house();
    let mut setup = ready(&recipe, &dir.path().join("run"), false).unwrap();
    let from = Drawn {
        step: 5,
        ..Drawn::default()
    };
    // The plan begins after the run's place: it has no batch for it.
    setup.plan = Plan::going_on(&setup.recipe, 24, 1, from);
    let error = Watch::default().train(setup).unwrap_err().to_string();
    assert!(error.contains("after step 0 of 9"), "{error}");
    // A run that is over has no batch either, and is done.
    let out = dir.path().join("whole");
    Watch::default().train(ready(&recipe, &out, false).unwrap()).unwrap();
    Watch::default().train(ready(&recipe, &out, true).unwrap()).unwrap();
}

/// Two processes, of which the other does as this one.
struct Mirrored;

impl Team for Mirrored {
    fn rank(&self) -> usize {
        0
    }
    fn size(&self) -> usize {
        2
    }
    fn sum(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        Ok(numbers.into_iter().map(|x| 2.0 * x).collect())
    }
    fn sum_exactly(&self, numbers: Vec<f64>) -> Result<Vec<f64>> {
        Ok(numbers.into_iter().map(|x| 2.0 * x).collect())
    }
    fn broadcast(&self, numbers: Vec<f32>) -> Result<Vec<f32>> {
        Ok(numbers)
    }
}

struct Lines(Vec<TrainLine>);

impl Reporter for Lines {
    fn step(&mut self, _done: u64, _line: &TrainLine) {}
    fn logged(&mut self, line: &TrainLine) {
        self.0.push(line.clone());
    }
    fn evaluated(&mut self, _line: &EvalLine) {}
    fn saved(&mut self, _checkpoint: &Path) {}
}

#[test]
fn tokens_and_operations_are_those_of_the_whole_team() {
    let (dir, recipe) = house();
    let mut alone = Watch::default();
    let ready = |name: &str| ready(&recipe, &dir.path().join(name), false).unwrap();
    alone.train(ready("alone")).unwrap();
    let mut lines = Lines(Vec::new());
    let stop = AtomicBool::new(false);
    let mut setup = ready("two");
    setup.plan = Plan::for_processes(&setup.recipe, 24, 2);
    train_with::<Autodiff<Flex>>(setup, &Default::default(), &Mirrored, &stop, &mut lines).unwrap();
    // The first step's samples are the same here: twice the tokens in all, each with as many operations.
    let (two, (_, one)) = (&lines.0[0], &alone.losses[0]);
    assert_eq!(two.tokens, 2 * one.tokens);
    let each = |line: &TrainLine| line.flops_per_s / line.tokens_per_s;
    assert!((each(two) / each(one) - 1.0).abs() < 1e-6, "{two:?} {one:?}");
}
