use super::*;

fn naive(grid: &Grid, wide: usize, high: usize, x: usize, y: usize) -> bool {
    (y..(y + high).min(grid.height)).any(|line| {
        (x..(x + wide).min(grid.width))
            .any(|cell| grid.bits[line * grid.stride + cell / 64] >> (cell % 64) & 1 == 1)
    })
}

#[test]
fn free_places_and_the_nearest_one_match_a_search_of_every_cell() {
    let mut state = 7_u64;
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for _ in 0..40 {
        // Of one piece, and of several.
        let (width, height) = match next(4) {
            0 => (600 + next(200) as usize, 150 + next(40) as usize),
            _ => (20 + next(150) as usize, 10 + next(40) as usize),
        };
        let mut grid = Grid::new(width, height);
        for _ in 0..next(60) {
            let (x, y) = (next(width as u64) as usize, next(height as u64) as usize);
            grid.stamp(&Ink::from_cells(&[(0, 0)]), x as i32, y as i32);
        }
        let (wide, high) = (
            1 + next(width as u64) as usize,
            1 + next(height as u64) as usize,
        );
        let target = (
            next(width as u64) as i32 - 5,
            next(height as u64) as i32 - 5,
        );
        let all = (0..=height - high).flat_map(|y| (0..=width - wide).map(move |x| (x, y)));
        let free: Vec<(usize, usize)> = all
            .filter(|(x, y)| !naive(&grid, wide, high, *x, *y))
            .collect();
        let mut search = Search::default();
        assert_eq!(search.count(&grid, (wide, high)), free.len());
        // The nearest in parts of the canvas.
        let cost = |(x, y): (i32, i32)| {
            let (dx, dy) = (
                (x - target.0) as f32 * (1.0 / width as f32),
                (y - target.1) as f32 * (1.0 / height as f32),
            );
            dx * dx + dy * dy
        };
        let costs = free.iter().map(|&(x, y)| cost((x as i32, y as i32)));
        let least = costs.min_by(f32::total_cmp);
        let found = search.in_parts(&grid, target, (wide, high), f32::INFINITY);
        assert_eq!(found.map(|(_, cost)| cost), least);
        if let Some((at, least)) = found {
            assert_eq!(cost(at), least);
            assert!(!naive(&grid, wide, high, at.0 as usize, at.1 as usize));
            assert_eq!(search.in_parts(&grid, target, (wide, high), least), None);
        }
        // The nearest by cells, whichever the axis.
        let far =
            |x: usize, y: usize| ((x as i32 - target.0) as f32).hypot((y as i32 - target.1) as f32);
        let least = free.iter().map(|&(x, y)| far(x, y)).min_by(f32::total_cmp);
        // Close to the target first, and of the whole canvas at once.
        let limits = (if next(2) == 0 { 12.0 } else { 100.0 }, f32::INFINITY);
        let found = search.in_cells(&grid, target, (wide, high), limits);
        let same = |one: f32, other: f32| (one - other).abs() < 1e-3;
        assert_eq!(found.is_some(), least.is_some());
        if let (Some(((x, y), way)), Some(least)) = (found, least) {
            assert!(same(way, least), "{way} for {least}");
            assert!(same(far(x as usize, y as usize), way));
            assert!(!naive(&grid, wide, high, x as usize, y as usize));
            let limits = (limits.0, way * 0.9);
            assert_eq!(search.in_cells(&grid, target, (wide, high), limits), None);
        }
    }
}

#[test]
fn two_inks_meet_where_they_have_a_cell_in_common() {
    let one = Ink::from_cells(&[(0, 0), (70, 1), (129, 4)]);
    let other = Ink::from_cells(&[(-3, 2), (64, 0), (65, 3)]);
    for x in -140..=140 {
        for y in -6..=6 {
            let mut grid = Grid::new(500, 40);
            grid.stamp(&one, 200 + one.left, 20 + one.top);
            let apart = grid.fits(&other, 200 + x + other.left, 20 + y + other.top);
            assert_eq!(one.meets((0, 0), &other, (x, y)), !apart, "{x}, {y}");
            assert_eq!(other.meets((x, y), &one, (0, 0)), !apart, "{x}, {y}");
        }
    }
}

#[test]
fn grown_ink_has_all_cells_that_are_close() {
    let cells: Vec<_> = (0..140).step_by(9).map(|i| (i - 3, i % 7)).collect();
    let ink = Ink::from_cells(&cells);
    for by in [0, 1, 3] {
        let grown = ink.grown(by);
        for y in 0..grown.height {
            for x in 0..grown.width {
                let at = (x as i32 + grown.left, y as i32 + grown.top);
                let close = |cell: &(i32, i32)| {
                    let away = (cell.0 - at.0).abs().max((cell.1 - at.1).abs());
                    away as usize <= by
                };
                assert_eq!(grown.get(x, y), cells.iter().any(close), "{at:?} by {by}");
            }
        }
    }
}

#[test]
fn ink_is_stamped_tested_and_erased_across_word_borders() {
    let cells: Vec<_> = (0..70).map(|i| (i, i % 3)).collect();
    let ink = Ink::from_cells(&cells);
    let mut grid = Grid::new(200, 10);
    for x in 0..130 {
        assert!(grid.fits(&ink, x, 2));
        grid.stamp(&ink, x, 2);
        assert_eq!(grid.count(), 70);
        assert!(!grid.fits(&ink, x, 2));
        assert!(grid.fits(&ink, x, 5));
        grid.erase(&ink, x, 2);
        assert_eq!(grid.count(), 0);
    }
    assert!(!grid.fits(&ink, 131, 0));
    assert!(!grid.fits(&ink, 0, 8));
    assert!(!grid.fits(&ink, -1, 0));
}
