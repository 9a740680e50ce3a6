//! Tensors joined so that they keep their gradients while other threads learn.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// `tensors` one after another along dimension `dim`, as `Tensor::cat`.
///
/// burn 0.21 lets go of what it joins before the graph knows of the result; a backward pass that ends on another thread
/// meanwhile takes the parts for unused and frees their steps, and their gradients are lost without a word
/// (<https://github.com/tracel-ai/burn/issues/5573>). So they are held until the result is there.
///
/// # Panics
/// As `Tensor::cat`: without tensors, or if other dimensions differ.
pub(crate) fn cat<B: Backend, const D: usize>(tensors: Vec<Tensor<B, D>>, dim: usize) -> Tensor<B, D> {
    let held = tensors.clone();
    let joined = Tensor::cat(tensors, dim);
    drop(held);
    joined
}

#[cfg(all(test, feature = "train", feature = "flex"))]
mod tests {
    use super::*;
    use burn::backend::Autodiff;
    use burn_flex::Flex;
    use std::sync::atomic::{AtomicBool, Ordering};

    type B = Autodiff<Flex>;

    fn leaf(rows: usize) -> Tensor<B, 2> {
        Tensor::<B, 2>::ones([rows, 64], &Default::default()).require_grad()
    }

    /// Backward passes end all the time on two threads, while another joins what hangs on a leaf that has been used before.
    #[test]
    fn what_is_joined_keeps_its_gradient_while_others_learn() {
        let done = AtomicBool::new(false);
        let lost = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        leaf(1).mul_scalar(2.0).sum().backward();
                    }
                });
            }
            let mut lost = 0;
            for _ in 0..200 {
                let table = leaf(2000);
                table.clone().sum().backward();
                let joined = cat(
                    vec![
                        table.clone().mul_scalar(3.0),
                        Tensor::zeros([2000, 64], &Default::default()),
                    ],
                    0,
                );
                let gradients = joined.sum().backward();
                let slope = table.grad(&gradients).map(|g| g.mean().into_scalar());
                lost += usize::from(slope != Some(3.0));
            }
            done.store(true, Ordering::Relaxed);
            lost
        });
        assert_eq!(lost, 0, "gradients of 200");
    }
}
