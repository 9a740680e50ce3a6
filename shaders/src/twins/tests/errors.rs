use super::*;
use crate::add_position::{self, Bindings, Params};

fn call(x: Vec<u32>) -> Call<Vec<u32>> {
    let params = Params {
        elements: 2,
        d4: 1,
        rows: 1,
        ..Default::default()
    };
    let bindings = Bindings {
        position: poison(4),
        index: vec![0; 2],
        x,
    };
    add_position::call(params, bindings)
}

#[test]
fn outside_a_buffer_is_an_error_that_names_it() {
    play(call(poison(8)), [1, 2, 1]).unwrap();
    let error = play(call(poison(7)), [1, 2, 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "add_position: word 7 of `x` is outside: it has 7 words"
    );
    // Where the grid does not reach, nothing is touched.
    play(call(poison(7)), [1, 1, 1]).unwrap();
}

#[test]
fn calls_that_do_not_fit_the_kernel() {
    let mut short = call(poison(8));
    short.params.pop();
    let error = play(short, [1, 2, 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "add_position: 15 bytes of parameters given, it takes 16"
    );

    let mut few = call(poison(8));
    few.bindings.pop();
    let error = play(few, [1, 2, 1]).unwrap_err();
    assert_eq!(error.to_string(), "add_position: 2 buffers given, it binds 3");

    let mut call = call(poison(8));
    let x = call.bindings.pop().unwrap();
    let mut data: Vec<Data<'_>> = call.bindings.iter().map(|words| Data::Read(words)).collect();
    data.push(Data::Read(&x));
    let error = run(call.kernel, &call.params, &mut data, [1, 2, 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "add_position: `x` is written, but was given for reading"
    );
}
