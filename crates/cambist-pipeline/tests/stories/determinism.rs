//! The same recipe gives the same bytes, however many threads work on it.

use crate::house::{House, SMALL, recipe};

#[test]
fn one_thread_and_two_write_the_same_bytes() {
    let houses = [1, 2, 3].map(|threads| {
        let house = House::new();
        house.run(recipe(SMALL, &[]), threads).unwrap();
        house
    });
    let [one, two, three] = houses.each_ref().map(House::manifests);
    assert_eq!(one.len(), 17, "every job has its artifact");
    assert_eq!(one, two);
    assert_eq!(one, three);
}

#[test]
fn another_seed_gives_other_bytes() {
    let (seven, eight) = (House::new(), House::new());
    seven.run_small(&[]);
    eight.run_small(&["seed=8"]);
    let ids = |house: &House| house.manifests().into_iter().map(|manifest| manifest.id).collect::<Vec<_>>();
    let (seven, eight) = (ids(&seven), ids(&eight));
    assert!(seven.iter().all(|id| !eight.contains(id)), "the seed is part of every name");
}
