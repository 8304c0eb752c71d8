//! What the `train` steps of a plan minimise.

use cambist_pipeline::plan::Plan;

use crate::{failure::Failure, screen};

/// Shows the loss and the settings of each `train` step in `wanted`, which all of its runs share.
pub(super) fn show(plan: &Plan, wanted: &[usize]) -> Result<(), Failure> {
    let mut shown = None;
    for job in wanted.iter().map(|&index| &plan.jobs[index]) {
        let Some(outlook) = plan.training(job).filter(|_| shown != Some(job.step)) else { continue };
        if shown.is_none() {
            screen::print("")?;
        }
        shown = Some(job.step);
        screen::print(&format!("loss of `{}` ({}): {}", plan.step_of(job).id, outlook.objective, outlook.formula))?;
        screen::print(&format!("  {}", outlook.in_words()))?;
    }
    Ok(())
}
