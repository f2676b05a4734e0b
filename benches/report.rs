//! Running two contestants by turns, and reporting the ratio of their
//! medians.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

/// Runs the work once, checks its result, and returns the time that one unit
/// of work took.
pub type Contestant = Box<dyn FnMut() -> Result<Duration>>;

/// One row of the table: the same work done by two contestants.
pub struct Row {
    pub name: &'static str,
    /// The work, and who the rival is.
    pub work: &'static str,
    /// The ratio that the book promises. It is printed beside the one
    /// reached, never asserted.
    pub reach: f64,
    /// An odd number, so that the median is one of the times measured.
    pub rounds: usize,
    pub ours: Contestant,
    pub rival: Contestant,
    /// Usually the rival's time over ours: higher is better for us.
    pub ratio: fn(ours: Duration, rival: Duration) -> f64,
}

/// How many times the rival's time ours is contained in.
pub fn times_faster(ours: Duration, rival: Duration) -> f64 {
    rival.as_secs_f64() / ours.as_secs_f64()
}

/// Runs the rows named, or all, and prints the table.
///
/// # Errors
/// If a name is unknown, or if a contestant fails or gets a wrong result.
pub fn run(rows: Vec<Row>, names: &[String]) -> Result<()> {
    for name in names {
        let known: Vec<_> = rows.iter().map(|row| row.name).collect();
        ensure!(
            known.contains(&name.as_str()),
            "there is no row {name:?}; the rows are {}",
            known.join(", ")
        );
    }
    let rows = rows.into_iter();
    let rows: Vec<Row> = rows
        .filter(|row| {
            names.is_empty() || names.iter().any(|name| name == row.name)
        })
        .collect();
    let rounds = rows.iter().map(|row| row.rounds as u64).sum();
    let progress = ProgressBar::new(rounds).with_style(
        ProgressStyle::with_template("{pos}/{len} {bar:40} {msg}, {eta} left")?,
    );
    let mut report = Vec::new();
    for mut row in rows {
        progress.set_message(row.name);
        let (ours, rival) = by_turns(&mut row, &progress)
            .with_context(|| format!("the row {} failed", row.name))?;
        let ratio = (row.ratio)(ours, rival);
        let Row {
            name, work, reach, ..
        } = row;
        progress.println(format!(
            "{name}: {work}\n  ours {ours:?}, rival {rival:?}, promised {reach}"
        ));
        report.push(format!("ratio {name} {ratio:.2}"));
    }
    progress.finish_and_clear();
    println!("{}", report.join("\n"));
    Ok(())
}

/// Medians of ours and of the rival's. Turns keep whatever slows the machine
/// down from hitting only one of the two.
fn by_turns(
    row: &mut Row,
    progress: &ProgressBar,
) -> Result<(Duration, Duration)> {
    let (mut ours, mut rival) = (Vec::new(), Vec::new());
    for _ in 0..row.rounds {
        ours.push((row.ours)()?);
        rival.push((row.rival)().context("the rival failed")?);
        progress.inc(1);
    }
    Ok((median(ours), median(rival)))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A contestant in Python: `benches/python/<script>` runs the work, checks
/// it, and prints the seconds that all of it took; `units` is how much work
/// that is.
pub fn python(
    script: &'static str,
    args: &'static [&'static str],
    units: u32,
) -> Contestant {
    Box::new(move || {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let output = Command::new("python3")
            .arg(folder.join(script))
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot run python3: install it")?;
        ensure!(output.status.success(), "{script}: {}", output.status);
        let seconds = String::from_utf8(output.stdout)?;
        let seconds: f64 = seconds.trim().parse().with_context(|| {
            format!("{script} printed {seconds:?}, not its seconds")
        })?;
        Ok(Duration::from_secs_f64(seconds) / units)
    })
}
