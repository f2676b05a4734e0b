//! The queues: whichever process dies, and whenever it does, the broker with
//! credits loses no message that it has accepted, and nobody waits for ever.

use crate::SUPERVISOR;
use anyhow::{Result, ensure};
use running::kills;

const SECTION: &str = "communicating_with_queues";

/// A dead consumer costs nothing. A dead producer is an error, and what it
/// had sent before is answered all the same.
#[test]
fn broker_with_credits() -> Result<()> {
    kills::once(SUPERVISOR, SECTION, "broker_with_credits", |program| {
        let program = program.arg("load");
        let summary = kills::run(&program, |outcome, killed| {
            let accounted = outcome.output.contains("lost 0, doubled 0");
            // Its end, or half a line. The command line of the killed process
            // does not tell: before it is a producer, it bears its parent's.
            let producer = outcome.output.contains("a producer");
            let good = accounted && (producer || outcome.code == Some(0));
            (!killed.program && !good).then(|| {
                "expected an account without loss, and success".to_owned()
            })
        })?;
        let summary = summary.without_faults()?;
        ensure!(summary.arrived == summary.all, "{summary}");
        Ok(())
    })
}

/// Many more processes than cores.
#[test]
fn sixty_four_consumers() -> Result<()> {
    kills::once(SUPERVISOR, SECTION, "broker_with_credits", |program| {
        let outcome = program.args(["load", "64"]).run()?;
        let faults = outcome.faults_unless_exit(0);
        ensure!(
            faults.is_empty(),
            "{}\n{}",
            faults.join("; "),
            outcome.output
        );
        ensure!(
            outcome.output.contains("of 80000, lost 0, doubled 0"),
            "{}",
            outcome.output
        );
        Ok(())
    })
}

/// Where a message can be lost, the rest still comes to an end. (Not here:
/// `locked_reads`, whose lock file stays when the program itself is killed.)
#[test]
fn others_end() -> Result<()> {
    for name in [SECTION, "fixed_records", "seqpacket_queue", "shared_ring"] {
        kills::once(SUPERVISOR, SECTION, name, |program| {
            kills::run(&program, |_, _| None)?.without_faults()?;
            Ok(())
        })?;
    }
    Ok(())
}
