//! Two processes under `mpirun`. Only with feature `mpi`; needs mpirun (Debian: openmpi-bin).
#![cfg(feature = "mpi")]
#![allow(clippy::unwrap_used, missing_docs, dead_code)]

#[path = "run/house.rs"]
mod house;

use folio_engine::checkpoint::{Checkpoint, tensors};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn mpirun(processes: usize, recipe: &Path, out: &Path, more: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command
        .args(["--allow-run-as-root", "--oversubscribe", "-np", &processes.to_string()])
        .arg(env!("CARGO_BIN_EXE_folio-train"))
        .args([
            "run",
            &recipe.display().to_string(),
            "--out",
            &out.display().to_string(),
        ])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn alone(recipe: &Path, out: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_folio-train"))
        .args([
            "run",
            &recipe.display().to_string(),
            "--out",
            &out.display().to_string(),
        ])
        .args(more)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A recipe of one `olm` stage.
fn recipe(dir: &Path, steps: u64, batch: usize, threads: usize, every: u64) -> std::path::PathBuf {
    let path = dir.join(format!("recipe-{steps}-{batch}-{threads}.toml"));
    let head: String = house::RECIPE
        .split("[[stage]]")
        .next()
        .unwrap()
        .replace("threads = 1", &format!("threads = {threads}"));
    let stage = format!(
        "[[stage]]\nkind = \"olm\"\nsteps = {steps}\nbatch = {batch}\nchunks = [1, 3]\nocr_share = 0.5\n\
         lr = {{ embedding = 1e-3, language_model = 1e-3, vision = 1e-3, aligner = 1e-3 }}\n\
         aux = {{ cells = 0.1, directions = 0.1 }}\n[checkpoint]\nevery = {every}\n[log]\nevery = 1\n"
    );
    std::fs::write(&path, (head + &stage).replace("DIR", &dir.display().to_string())).unwrap();
    path
}

/// Holds every weight of the two runs' checkpoints of this name together.
fn alike(a: &Path, b: &Path, checkpoint: &str) {
    let [a, b] = [a, b].map(|out| Checkpoint::open(&out.join(checkpoint)).unwrap());
    for spec in tensors(&house::tiny()) {
        let (a, b) = (a.read_f32(&spec).unwrap(), b.read_f32(&spec).unwrap());
        let apart = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{}: {apart}", spec.name);
    }
}

#[test]
fn two_processes_are_one_with_twice_the_batch() {
    let (dir, _) = house::house();
    let (two, one) = (dir.path().join("two"), dir.path().join("one"));
    let output = mpirun(2, &recipe(dir.path(), 20, 2, 1, 0), &two, &[]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let output = alone(&recipe(dir.path(), 20, 4, 1, 0), &one, &[]);
    assert!(output.status.success(), "{}", text(&output));
    alike(&two, &one, "step_000020");
    // One writer: as many lines as one process writes, with the tokens of both.
    let lines = |out: &Path| std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let tokens = |text: &str| {
        text.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["tokens"].as_u64())
            .collect::<Vec<_>>()
    };
    assert_eq!(tokens(&lines(&two)), tokens(&lines(&one)));
    assert_eq!(tokens(&lines(&two)).len(), 20);
}

/// Two stages, each `(steps, batch)`, whose steps differ in nothing but the samples that they draw.
fn steady(dir: &Path, stages: &[(u64, usize)]) -> std::path::PathBuf {
    let path = dir.join(format!("steady-{stages:?}.toml"));
    let head = house::RECIPE.split("[[stage]]").next().unwrap().to_owned();
    let stage = |(steps, batch): &(u64, usize)| {
        format!(
            "[[stage]]\nkind = \"olm\"\nsteps = {steps}\nbatch = {batch}\nchunks = 2\nwarmup_ratio = 0.0\nmin_lr_ratio = 1.0\n\
             lr = {{ embedding = 1e-3, language_model = 1e-3, vision = 1e-3, aligner = 1e-3 }}\n"
        )
    };
    let stages: String = stages.iter().map(stage).collect();
    std::fs::write(&path, (head + &stages).replace("DIR", &dir.display().to_string())).unwrap();
    path
}

#[test]
fn another_number_of_processes_goes_on_at_the_exact_sample() {
    let (dir, _) = house::house();
    let (parts, whole) = (dir.path().join("parts"), dir.path().join("whole"));
    // Two processes, then one, then three: steps of 4, 2 and 6 samples.
    for (processes, steps) in [(2, 8), (1, 14), (3, 18)] {
        let more: &[&str] = if parts.exists() { &["--resume"] } else { &[] };
        let recipe = steady(dir.path(), &[(steps, 2)]);
        let output = mpirun(processes, &recipe, &parts, more).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    let output = alone(&steady(dir.path(), &[(8, 4), (6, 2), (4, 6)]), &whole, &[]);
    assert!(output.status.success(), "{}", text(&output));
    let state = |out: &Path| {
        let json = std::fs::read(out.join("step_000018/state.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()
    };
    assert_eq!(state(&parts)["drawn"]["samples"], 8 * 4 + 6 * 2 + 4 * 6);
    assert_eq!(state(&parts)["tokens"], state(&whole)["tokens"]);
    alike(&parts, &whole, "step_000018");
}

/// The process of `rank` that `mpirun` started.
fn process(mpirun: &Child, rank: &str) -> Option<u32> {
    // Whichever of its threads did.
    let threads = std::fs::read_dir(format!("/proc/{}/task", mpirun.id())).ok()?;
    let children: Vec<String> = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .collect();
    let children = children.join(" ");
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    children.split_whitespace().find_map(|pid| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        environ
            .split(|&b| b == 0)
            .any(|entry| entry == wanted.as_bytes())
            .then(|| pid.parse().ok())?
    })
}

#[test]
fn a_process_that_dies_ends_the_others_and_another_number_of_them_goes_on() {
    let (dir, _) = house::house();
    let out = dir.path().join("run");
    let long = recipe(dir.path(), 100_000, 2, 1, 5);
    for rank in ["1", "0"] {
        let more: &[&str] = if out.exists() { &["--resume"] } else { &[] };
        let before = steps(&out);
        let child = mpirun(2, &long, &out, more).spawn().unwrap();
        let start = Instant::now();
        while steps(&out) <= before {
            assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint");
            std::thread::sleep(Duration::from_millis(50));
        }
        let victim = process(&child, rank).unwrap();
        let killed = Instant::now();
        assert!(
            Command::new("kill")
                .args(["-KILL", &victim.to_string()])
                .status()
                .unwrap()
                .success()
        );
        let output = child.wait_with_output().unwrap();
        assert!(
            killed.elapsed() < Duration::from_secs(30),
            "it took {:?}",
            killed.elapsed()
        );
        assert!(!output.status.success());
        let said = text(&output);
        let message = format!("process {rank} of 2 ended");
        assert_eq!(said.matches(&message).count(), 1, "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    // A single process goes on from what is left.
    let done = steps(&out);
    let output = alone(&recipe(dir.path(), done + 3, 2, 1, 5), &out, &["--resume"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(steps(&out), done + 3);
}

/// Steps of the newest checkpoint.
fn steps(out: &Path) -> u64 {
    std::fs::read_to_string(out.join("latest"))
        .ok()
        .and_then(|name| name.trim().strip_prefix("step_")?.parse().ok())
        .unwrap_or(0)
}
