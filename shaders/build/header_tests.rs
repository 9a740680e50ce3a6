use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

fn axis(name: &str, values: &str) -> Axis {
    Axis {
        name: name.into(),
        values: words(values),
    }
}

#[test]
fn documentation_and_axes() {
    let text = "//! One.\n//!\n//! Two.\n//! variants: WEIGHT = f32 q8_0; STYLE = plain\n\n//! not part of it\n";
    let header = read("k.wgsl", text).unwrap();
    assert_eq!(header.docs, ["One.", "", "Two."]);
    assert_eq!(header.axes, [axis("WEIGHT", "f32 q8_0"), axis("STYLE", "plain")]);
}

#[test]
fn faults_name_the_line() {
    for (text, expected) in [
        (
            "fn main() {}",
            "shaders/k.wgsl:1: the file must begin with `//! ` lines that say what the kernel does",
        ),
        (
            "//! x\n//! variants: WEIGHT f32",
            "shaders/k.wgsl:2: `WEIGHT f32` is no axis: write `AXIS = value value`",
        ),
        (
            "//! x\n//! variants: A = ",
            "shaders/k.wgsl:2: `A =` is no axis: write `AXIS = value value`",
        ),
        (
            "//! x\n//! variants: a = b",
            "shaders/k.wgsl:2: `a = b` is no axis: write `AXIS = value value`",
        ),
        (
            "//! x\n//! variants: A = b b",
            "shaders/k.wgsl:2: axis A gives a value twice",
        ),
        (
            "//! x\n//! variants: A = b; A = c",
            "shaders/k.wgsl:2: axis A is given twice",
        ),
    ] {
        let faults = read("k.wgsl", text).unwrap_err();
        let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
        assert_eq!(faults, [expected], "{text:?}");
    }
}

#[test]
fn choices_are_all_combinations_the_last_axis_fastest() {
    let all = choices(&[axis("W", "a b"), axis("S", "x y")]);
    let flags: Vec<Vec<String>> = all
        .iter()
        .map(|c| c.iter().map(|(a, v)| flag(a, v)).collect())
        .collect();
    assert_eq!(flags, [["W_a", "S_x"], ["W_a", "S_y"], ["W_b", "S_x"], ["W_b", "S_y"]]);
    assert_eq!(choices(&[]), [Vec::new()]);
}

fn header_of(values: &str) -> Header {
    Header {
        docs: Vec::new(),
        axes: vec![axis("S", values)],
    }
}

#[test]
fn merged_axes_keep_every_files_order() {
    let headers = ["serial subgroup", "plain subgroup", "serial plain"].map(header_of);
    assert_eq!(merge(headers.iter()).unwrap(), [axis("S", "serial plain subgroup")]);
    let headers = ["a b", "b a"].map(header_of);
    assert_eq!(merge(headers.iter()).unwrap_err(), ["S"]);
}

proptest::proptest! {
    /// Lists cut out of one order merge into an order that keeps each list's.
    #[test]
    fn merging_keeps_orders(picks in proptest::collection::vec(proptest::collection::vec(proptest::bool::ANY, 6), 1..5)) {
        let letters = ["a", "b", "c", "d", "e", "f"];
        let lists: Vec<Vec<&str>> = picks
            .iter()
            .map(|pick| letters.iter().zip(pick).filter(|(_, p)| **p).map(|(l, _)| *l).collect())
            .filter(|list: &Vec<&str>| !list.is_empty())
            .collect();
        proptest::prop_assume!(!lists.is_empty());
        let headers: Vec<Header> = lists.iter().map(|list| header_of(&list.join(" "))).collect();
        let merged = merge(headers.iter()).unwrap();
        for list in &lists {
            let places: Vec<_> = list.iter().map(|v| merged[0].values.iter().position(|m| m == v)).collect();
            proptest::prop_assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{:?} in {:?}", list, merged);
        }
    }
}
