//! The fastest ways to add up the weights of a token: as stored words, and as the numbers they stand for.

use crate::device::{Device, Launch};
use anyhow::Result;
use folio_shaders::{Access, Weight};

const WORDS: &str = include_str!("sum.wgsl");
const VALUES: &str = include_str!("sum_values.wgsl");
/// Workgroup sizes and items per invocation that the sums are tried with.
const LANES: [u32; 2] = [64, 256];
/// In groups of four words.
const GROUPS_EACH: [u32; 3] = [16, 64, 256];
/// In units of 32 or 64 weights.
const UNITS_EACH: [u32; 3] = [4, 16, 64];
/// Neighbouring invocations take neighbouring stretches; stride over everything; stride inside a workgroup's stretch.
const PATTERNS: [&str; 3] = ["runs", "strides", "blocks"];

/// A matrix on the device.
pub(crate) struct Stored {
    pub(crate) buffer: wgpu::Buffer,
    /// Words of values or quants.
    pub(crate) quants: usize,
    /// All words: scales lie behind the quants.
    pub(crate) words: usize,
}

/// One way to add up all matrices.
pub(crate) struct Sum {
    pub(crate) name: String,
    /// One run, after one that warmed up.
    pub(crate) seconds: f64,
    pub(crate) launches: Vec<Launch>,
}

/// How the items of a matrix are shared by invocations.
struct Share {
    pattern: usize,
    lanes: u32,
    each: u32,
}

impl Share {
    fn all(each: [u32; 3]) -> impl Iterator<Item = Share> {
        (0..PATTERNS.len()).flat_map(move |pattern| {
            let of_lanes = move |lanes| each.map(|each| Share { pattern, lanes, each });
            LANES.into_iter().flat_map(of_lanes)
        })
    }

    fn invocations(&self, items: u32) -> u32 {
        let invocations = items.div_ceil(self.each);
        // A block is a whole workgroup's.
        match PATTERNS[self.pattern] {
            "blocks" => invocations.next_multiple_of(self.lanes),
            _ => invocations,
        }
    }

    fn consts(&self) -> String {
        format!("const LANES = {}u;\nconst PATTERN = {}u;\n", self.lanes, self.pattern)
    }
}

/// Sums of the stored words, fastest first.
///
/// # Errors
/// A lost device.
pub(crate) fn of_words(device: &Device, matrices: &[Stored]) -> Result<Vec<Sum>> {
    let most = matrices.iter().map(|m| m.words).max().unwrap_or(0);
    let out = device.empty(most as u64);
    let mut sums = Vec::new();
    for share in Share::all(GROUPS_EACH) {
        let pipelines = [false, true].map(|clamp| {
            let source = format!("{}const CLAMP = {clamp};\n{WORDS}", share.consts());
            device.pipeline(&source, &[Access::Read, Access::ReadWrite])
        });
        let launch = |matrix: &Stored| {
            let groups = (matrix.words / 4) as u32;
            let invocations = share.invocations(groups);
            let params = [groups, share.each, invocations, 0];
            device.launch(
                &pipelines[usize::from(invocations * share.each != groups)],
                bytemuck::cast_slice(&params),
                &[&matrix.buffer, &out],
                [invocations.div_ceil(share.lanes), 1, 1],
            )
        };
        let name = format!(
            "words, {}, {} lanes, {} each",
            PATTERNS[share.pattern],
            share.lanes,
            4 * share.each
        );
        sums.push(timed(device, name, matrices.iter().map(launch).collect())?);
    }
    Ok(sorted(sums))
}

/// Sums of the weights as numbers, fastest first; none for f32, whose words are the numbers.
///
/// # Errors
/// A lost device.
pub(crate) fn of_values(device: &Device, matrices: &[Stored], weight: Weight) -> Result<Vec<Sum>> {
    let (kind, words_of_unit) = match weight {
        Weight::F32 => return Ok(Vec::new()),
        Weight::F16 => (1, 16),
        Weight::Q8_0 => (2, 16),
        Weight::Q4_0 => (3, 8),
        Weight::Bf16 => (4, 16),
    };
    let most = matrices.iter().map(|m| m.words).max().unwrap_or(0);
    let out = device.empty(most as u64);
    let mut sums = Vec::new();
    for share in Share::all(UNITS_EACH) {
        let source = format!("{}const WEIGHT = {kind}u;\n{VALUES}", share.consts());
        let pipeline = device.pipeline(&source, &[Access::Read, Access::Read, Access::ReadWrite]);
        let launch = |matrix: &Stored| {
            let units = (matrix.quants / words_of_unit) as u32;
            let invocations = share.invocations(units);
            let params = [units, share.each, invocations, matrix.quants as u32];
            device.launch(
                &pipeline,
                bytemuck::cast_slice(&params),
                &[&matrix.buffer, &matrix.buffer, &out],
                [invocations.div_ceil(share.lanes), 1, 1],
            )
        };
        let name = format!(
            "values, {}, {} lanes, {} units each",
            PATTERNS[share.pattern], share.lanes, share.each
        );
        sums.push(timed(device, name, matrices.iter().map(launch).collect())?);
    }
    Ok(sorted(sums))
}

fn timed(device: &Device, name: String, launches: Vec<Launch>) -> Result<Sum> {
    device.time(&launches)?;
    let seconds = device.time(&launches)?;
    Ok(Sum {
        name,
        seconds,
        launches,
    })
}

fn sorted(mut sums: Vec<Sum>) -> Vec<Sum> {
    sums.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    sums
}
