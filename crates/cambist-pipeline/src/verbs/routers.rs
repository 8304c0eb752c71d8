//! From a recipe's word for a router to the router, calibrated where it has to be.

use cambist_core::{
    candidate::Matrix,
    gates::Gates,
    pool::Pool,
    router::{
        All, AllBestOfN, Budgeted, CalibrationError, Fallback, Fixed, Random, Router, Single, SingleBestOfN,
        best_single,
    },
};

use super::{answers::read_calibration, fit};
use crate::{error::PipelineError, plan::Job, recipe::params::RouterParams, run::Workshop};

/// Makes the router; reads the job's calibration answers when it needs them, and judges them by `gates`. A fitted router
/// is read from the input under `role`.
pub(super) fn build(
    workshop: &Workshop<'_>,
    job: &Job,
    (params, gates, role): (&RouterParams, &Gates, &str),
    pool: &Pool,
) -> Result<Box<dyn Router>, PipelineError> {
    let uncalibrated = |error: CalibrationError| {
        PipelineError::input(
            &job.label,
            error.to_string(),
            "calibrate on a `generate` step with `router: all` and an arbiter",
        )
    };
    let calibration = || read_calibration(workshop, job, gates);
    let teacher = |word: &str, matrix: &mut Option<Matrix>| -> Result<String, PipelineError> {
        if word != "best" {
            return Ok(word.to_owned());
        }
        let matrix = matrix.insert(calibration()?);
        let standings = best_single(matrix, pool).map_err(uncalibrated)?;
        let best = standings.into_iter().next().map(|standing| standing.teacher);
        best.ok_or_else(|| PipelineError::input(&job.label, "the pool is empty", "declare teachers under `pool:`"))
    };
    let mut seen = None;
    Ok(match params {
        RouterParams::All => Box::new(All),
        RouterParams::AllBon { samples } => Box::new(AllBestOfN { n_samples: *samples }),
        RouterParams::Random => Box::new(Random { seed: workshop.plan.recipe.seed, fallback: Fallback::None }),
        RouterParams::Fixed => Box::new(Fixed::fit(&calibration()?, pool).map_err(uncalibrated)?),
        RouterParams::Learned { explore, .. } => {
            let mut router = fit::read((workshop, job), role, pool)?;
            (router.explore, router.seed) = (*explore, workshop.plan.recipe.seed);
            Box::new(router)
        }
        RouterParams::Budgeted(params) => {
            let seed = workshop.plan.recipe.seed;
            let fitted = Budgeted::fit(&calibration()?, pool, (params.goal(), params.options()), seed);
            Box::new(fitted.map_err(|error| {
                let remedy = "calibrate on a `generate` step with `router: all` and an arbiter";
                PipelineError::input(&job.label, error.to_string(), remedy)
            })?)
        }
        RouterParams::Single(word) => Box::new(Single { teacher: teacher(word, &mut seen)? }),
        RouterParams::SingleBon { teacher: word, samples } => {
            Box::new(SingleBestOfN { teacher: teacher(word, &mut seen)?, n_samples: *samples })
        }
    })
}
