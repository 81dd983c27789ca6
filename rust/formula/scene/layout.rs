//! The objects of a scene: their positions, and which ones cover others.

use crate::address::{At, Purpose};
use crate::formula::scene::style::{Order, SceneStyle};
use crate::frame::Frame;

/// Number, categories, sides, positions, colors and order of the objects.
const LAYOUT: Purpose = Purpose(40);
/// The smallest side of an image.
const SMALLEST: usize = 16;

/// One object, before it is rendered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object {
    /// Its number; 0 is the object of the scene's own category.
    pub(super) number: usize,
    /// Its category, counted over all parts.
    pub(super) category: u64,
    /// Height and width in pixels.
    pub(super) side: usize,
    /// Rows from the top of the image to the top of the object.
    pub(super) top: i64,
    /// Columns from the left of the image to the left of the object.
    pub(super) left: i64,
    /// Its random color, if the style asks for one.
    pub(super) color: [u8; 3],
    rank: u64,
}

/// Draws the objects of a scene, from front to back. `category` is the scene's own, and `categories`
/// the number of all.
pub(super) fn layout(
    at: At<'_>,
    style: &SceneStyle,
    category: u64,
    categories: u64,
    objects: &mut Vec<Object>,
) {
    let mut rng = at.rng(LAYOUT);
    let count = style.min_objects + rng.below(style.max_objects - style.min_objects + 1);
    objects.clear();
    for number in 0..count as usize {
        let drawn = rng.below(categories);
        let side = side(at.frame, rng.between(style.min_scale, style.max_scale));
        let beyond = (style.overhang * side as f64) as i64; // less than the side
        let mut corner = |size: usize| {
            let room = (size - side) as i64 + 2 * beyond + 1; // positive, since no side exceeds the size
            rng.below(room as u64) as i64 - beyond
        };
        let (top, left) = (corner(at.frame.height), corner(at.frame.width));
        // Bright enough to be visible on black.
        let color = [0; 3].map(|_: u8| 64 + rng.below(192) as u8);
        let category = if number == 0 { category } else { drawn };
        objects.push(Object { number, category, side, top, left, color, rank: rng.next_u64() });
    }
    match style.order {
        Order::OwnInFront => {}
        Order::Random => objects.sort_by_key(|object| object.rank),
        Order::SmallInFront => objects.sort_by_key(|object| (object.side, object.rank)),
    }
}

/// Returns the object that the fallback shows: the one of the scene's own category, centered.
pub(super) fn alone(at: At<'_>, style: &SceneStyle, category: u64) -> Object {
    let side = side(at.frame, style.max_scale);
    let middle = |size: usize| ((size - side) / 2) as i64;
    let (top, left) = (middle(at.frame.height), middle(at.frame.width));
    Object { number: 0, category, side, top, left, color: [255; 3], rank: 0 }
}

/// Converts a side from a share of the image's shorter side to pixels.
pub(super) fn side(frame: &Frame, scale: f64) -> usize {
    let shorter = frame.height.min(frame.width);
    ((scale * shorter as f64) as usize).clamp(SMALLEST, shorter)
}
