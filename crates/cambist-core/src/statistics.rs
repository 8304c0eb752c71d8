//! Means, spreads and quantiles of plain numbers.

/// Returns the mean; none of no numbers.
pub fn mean(values: &[f64]) -> Option<f64> {
    let mut mean = RunningMean::default();
    values.iter().for_each(|value| mean.add(*value));
    mean.value()
}

/// A mean of numbers that come one by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunningMean {
    n: usize,
    sum: f64,
}

impl Default for RunningMean {
    fn default() -> Self {
        // The sum of no numbers as the standard library has it: any number added to it stays what it is.
        Self { n: 0, sum: -0.0 }
    }
}

impl RunningMean {
    /// Takes in the next number.
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        self.sum += value;
    }

    /// How many numbers there were.
    pub fn n(&self) -> usize {
        self.n
    }

    /// The mean of the numbers so far; none of no numbers.
    pub fn value(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }
}

/// Returns the sample standard deviation (n - 1 below the line); none of fewer than two numbers.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    let center = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|value| (value - center).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// Returns the standard error of the mean; none of fewer than two numbers.
pub fn standard_error(values: &[f64]) -> Option<f64> {
    standard_deviation(values).map(|sd| sd / (values.len() as f64).sqrt())
}

/// Returns the `q`-quantile, `q` in `[0, 1]`, linear between neighbours (type 7 of Hyndman and Fan 1996, the default
/// of NumPy and R); none of no numbers. The input needs no order.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile_of_sorted(&sorted, q)
}

/// Returns the `q`-quantile as [`quantile`] does, of numbers that are in ascending order already.
pub fn quantile_of_sorted(sorted: &[f64], q: f64) -> Option<f64> {
    let place = q.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// Returns the median; none of no numbers.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// Returns Kendall's tau-b (1945) of two series of equal length, -1 to 1; none when they differ in length or one of
/// them has no two different numbers. Takes time with the square of the length.
pub fn kendall_tau(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.len() != b.len() {
        return None;
    }
    let (mut concordance, mut of_a, mut of_b) = (0i64, 0i64, 0i64);
    for later in 0..a.len() {
        for earlier in 0..later {
            let [by_a, by_b] = [a, b].map(|values| sign(values[later] - values[earlier]));
            concordance += by_a * by_b;
            of_a += by_a.abs();
            of_b += by_b.abs();
        }
    }
    let scale = (of_a as f64).sqrt() * (of_b as f64).sqrt();
    (scale > 0.0).then(|| concordance as f64 / scale)
}

fn sign(difference: f64) -> i64 {
    i64::from(difference > 0.0) - i64::from(difference < 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_sets_by_hand() {
        assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 0.05), Some(1.15));
        assert_eq!(median(&[3.0, 1.0]), Some(2.0));
        assert_eq!(standard_deviation(&[2.0, 4.0]), Some(2f64.sqrt()));
        assert_eq!((mean(&[]), median(&[]), standard_error(&[1.0])), (None, None, None));
    }
}
