//! Places for labels so that none covers another.

/// A rectangle: left, top, right, bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Area {
    /// The part that two rectangles share, in square pixels.
    fn overlap(&self, other: &Area) -> f64 {
        let wide = (self.right.min(other.right) - self.left.max(other.left)).max(0.0);
        let high = (self.bottom.min(other.bottom) - self.top.max(other.top)).max(0.0);
        wide * high
    }

    fn size(&self) -> f64 {
        (self.right - self.left) * (self.bottom - self.top)
    }
}

/// Moves places apart until neighbours are `gap` away from each other, all within `low..=high`, order kept.
///
/// Where the places cannot all have their gap within the range, they are spread evenly over it. Ties keep the order
/// of the input. The result has the order of the input.
pub(crate) fn spread(wanted: &[f64], gap: f64, (low, high): (f64, f64)) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let gap = gap.min((high - low) / wanted.len().saturating_sub(1).max(1) as f64);
    let mut places = wanted.to_vec();
    let mut free_from = low;
    for &idx in &order {
        places[idx] = wanted[idx].max(free_from);
        free_from = places[idx] + gap;
    }
    let mut free_to = high;
    for &idx in order.iter().rev() {
        places[idx] = places[idx].min(free_to);
        free_to = places[idx] - gap;
    }
    places
}

/// Directions to try, the preferred first: right, left, above, below, then the corners.
const AROUND: [(f64, f64); 8] =
    [(1.0, 0.0), (-1.0, 0.0), (0.0, -1.0), (0.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)];

/// Finds a place for a label of `size` near `at`: free of all `taken` areas and within `bounds`, as near as possible.
///
/// Where no place is free, the one that covers least.
pub(crate) fn settle(at: (f64, f64), size: (f64, f64), (taken, bounds): (&[Area], &Area)) -> Area {
    let rings = [9.0, 16.0, 26.0, 40.0, 60.0, 84.0];
    let places = rings.iter().flat_map(|ring| AROUND.iter().map(move |way| beside(at, size, (*ring, *way))));
    let cost = |area: &Area| {
        let outside = area.size() - area.overlap(bounds);
        taken.iter().map(|other| other.overlap(area)).sum::<f64>() + 20.0 * outside
    };
    let mut best: Option<(f64, Area)> = None;
    for area in places {
        let cost = cost(&area);
        if cost < 0.5 {
            return area;
        }
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, area));
        }
    }
    best.map_or_else(|| beside(at, size, (rings[0], AROUND[0])), |(_, area)| area)
}

fn beside((x, y): (f64, f64), (wide, high): (f64, f64), (ring, (dx, dy)): (f64, (f64, f64))) -> Area {
    let left = x + dx * ring - (1.0 - dx) / 2.0 * wide;
    let top = y + dy * (ring + high / 2.0 - 2.0) - high / 2.0;
    Area { left, top, right: left + wide, bottom: top + high }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_move_apart_and_keep_their_order() {
        assert_eq!(spread(&[50.0, 50.0, 10.0], 10.0, (0.0, 100.0)), [50.0, 60.0, 10.0]);
        assert_eq!(spread(&[99.0, 98.0], 10.0, (0.0, 100.0)), [100.0, 90.0]);
        assert_eq!(spread(&[5.0; 5], 50.0, (0.0, 100.0)), [0.0, 25.0, 50.0, 75.0, 100.0]);
        assert!(spread(&[], 5.0, (0.0, 1.0)).is_empty());
    }

    #[test]
    fn labels_of_crowded_points_do_not_overlap() {
        let bounds = Area { left: 0.0, top: 0.0, right: 400.0, bottom: 300.0 };
        let mut taken = Vec::new();
        for n in 0..8 {
            let at = (200.0 + 2.0 * f64::from(n), 150.0);
            let area = settle(at, (60.0, 14.0), (&taken, &bounds));
            assert!(taken.iter().all(|other| area.overlap(other) < 0.5), "label {n}");
            taken.push(area);
        }
    }

    #[test]
    fn labels_stay_inside() {
        let bounds = Area { left: 0.0, top: 0.0, right: 100.0, bottom: 100.0 };
        let area = settle((95.0, 50.0), (40.0, 14.0), (&[], &bounds));
        assert!(area.right <= 100.0, "{area:?}");
    }
}
