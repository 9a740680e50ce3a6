//! Twins against values worked out by hand: a twin that is wrong would make a wrong kernel right.

mod attention;
mod errors;
mod linear;
mod rows;
mod sample;
mod weights;

use bytemuck::NoUninit;

use super::{Data, TwinError, run};
use crate::{Access, Call, Form, KERNELS, Style, Weight};

/// What fresh memory holds: nothing may lean on it, nothing may write where it should not.
const POISON: f32 = -12345.0;

/// Runs a call whose bindings are buffers; they come back.
fn play(call: Call<Vec<u32>>, grid: [u32; 3]) -> Result<Vec<Vec<u32>>, TwinError> {
    let mut buffers = call.bindings;
    let mut data: Vec<Data<'_>> = call
        .kernel
        .bindings
        .iter()
        .zip(&mut buffers)
        .map(|(binding, words)| match binding.access {
            Access::Read => Data::Read(words),
            Access::ReadWrite => Data::Write(words),
        })
        .collect();
    run(call.kernel, &call.params, &mut data, grid)?;
    Ok(buffers)
}

/// Runs a call and gives the floats of one binding.
fn floats(call: Call<Vec<u32>>, grid: [u32; 3], binding: usize) -> Vec<f32> {
    let buffers = play(call, grid).unwrap();
    bytemuck::cast_slice(&buffers[binding]).to_vec()
}

fn words<T: NoUninit>(values: &[T]) -> Vec<u32> {
    bytemuck::cast_slice(values).to_vec()
}

fn poison(length: usize) -> Vec<u32> {
    vec![POISON.to_bits(); length]
}

#[track_caller]
fn assert_close(left: &[f32], right: &[f32]) {
    let close = |(l, r): (&f32, &f32)| (l - r).abs() <= 1e-5 * (1.0 + r.abs());
    assert!(
        left.len() == right.len() && left.iter().zip(right).all(close),
        "{left:?} is not {right:?}"
    );
}

/// Numbers that differ, without a generator: a fixed walk through -1 … 1.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

#[test]
fn every_kernel_has_a_twin() {
    for kernel in &KERNELS {
        assert!(super::twin(kernel.name).is_some(), "{} has no twin", kernel.label);
    }
}

#[test]
fn the_table_is_consistent() {
    for (index, kernel) in KERNELS.iter().enumerate() {
        assert_eq!(kernel.index, index);
        assert!(kernel.params_size.is_multiple_of(16), "{}", kernel.label);
        assert_eq!(kernel.subgroups, Style::of(kernel).is_some_and(Style::subgroups));
        assert!(kernel.source.contains("fn main("), "{}", kernel.label);
        assert!(kernel.label.starts_with(kernel.name), "{}", kernel.label);
    }
}

#[test]
fn every_variant_is_found() {
    for (weight, form, style) in Weight::ALL
        .into_iter()
        .flat_map(|w| Form::ALL.map(|f| (w, f)))
        .flat_map(|(w, f)| Style::ALL.map(|s| (w, f, s)))
    {
        let label = crate::mat_vec::kernel(weight, form, style).label;
        assert_eq!(label, format!("mat_vec[{weight},{form},{style}]"));
        let kernel = crate::embed_rows::kernel(weight);
        assert_eq!((kernel.name, Weight::of(kernel)), ("embed_rows", Some(weight)));
    }
    assert_eq!(crate::patchify::kernel().label, "patchify");
}

#[test]
fn styles_fall_back() {
    let of = |style| crate::visual_attention::kernel(style).label;
    assert_eq!(of(Style::Serial), "visual_attention[serial]");
    assert_eq!(of(Style::Broadcast), "visual_attention[serial]");
    assert_eq!(of(Style::Plain), "visual_attention[plain]");
    assert_eq!(of(Style::Subgroup), "visual_attention[plain]");
}
