//! From points in space to pixels: a perspective camera four units from the cloud's mean, as in the
//! released code. OpenGL first rounds coordinates to 1/256 pixel, and so does this module.

use std::f64::consts::TAU;

use crate::formula::ifs3d::cloud::Cloud;
use crate::frame::Window;
use crate::simd::{Kernel, Lanes, Simd, scatter};

/// Distance of the camera from the mean of the cloud.
const DISTANCE: f32 = 4.0;
/// Depths that the camera sees.
const SEEN: std::ops::RangeInclusive<f32> = 1.0..=100.0;
/// 1 / tan 22.5°: the camera sees 45 degrees.
const FOCAL: f32 = std::f32::consts::SQRT_2 + 1.0;
/// Angle of the first fixed view about each axis, in degrees.
const FIRST: f64 = 30.0;
/// Brightness of a point.
const WHITE: u8 = 255;
/// With shading: the depth at which brightness begins to fall, its loss per unit of depth, and its minimum.
const SHADE: (f32, f32, f32) = (3.0, 96.0, 63.0);
/// Points projected at a time.
const CHUNK: usize = 64;
/// Steps per pixel to which coordinates are rounded.
const FRACTIONS: f32 = 256.0;

/// The orientation of the camera: three orthogonal directions of length 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Camera {
    right: [f32; 3],
    down: [f32; 3],
    away: [f32; 3],
}

impl Camera {
    /// Looks from an azimuth in radians, and from an elevation given by its sine.
    pub(crate) fn new(azimuth: f64, sine: f64) -> Self {
        let level = (1.0 - sine * sine).max(0.0).sqrt();
        let [mut right, mut down, mut away] = AHEAD;
        turn(&mut right, &mut away, direction(azimuth));
        turn(&mut away, &mut down, [level, sine]);
        Self::facing([right, down, away])
    }

    /// Moves around the cloud about the vertical axis, then about the direction to the right, then about
    /// that down. `turns` has the step 0…11 and the jitter in degrees for each of up to three axes.
    pub(crate) fn fixed(turns: impl IntoIterator<Item = (u64, f64)>) -> Self {
        let [mut right, mut down, mut away] = AHEAD;
        for (axis, (step, jitter)) in turns.into_iter().enumerate() {
            let angle = TAU * step as f64 / 12.0 + FIRST.to_radians() + jitter.to_radians();
            if axis == 1 {
                turn(&mut away, &mut down, direction(angle));
            } else {
                turn(&mut right, &mut away, direction(angle));
            }
        }
        Self::facing([right, down, away])
    }

    fn facing(directions: [[f64; 3]; 3]) -> Self {
        let [right, down, away] = directions.map(|direction| direction.map(|v| v as f32));
        Self { right, down, away }
    }
}

/// Right, down and away, before any turn: along z, y and x.
const AHEAD: [[f64; 3]; 3] = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]];

/// Returns cosine and sine.
fn direction(angle: f64) -> [f64; 2] {
    [libm::cos(angle), libm::sin(angle)] // the same on every platform
}

/// Turns two orthogonal directions by an angle, the first toward the second.
fn turn(first: &mut [f64; 3], second: &mut [f64; 3], [cos, sin]: [f64; 2]) {
    for (first, second) in first.iter_mut().zip(second) {
        (*first, *second) = (cos * *first + sin * *second, cos * *second - sin * *first);
    }
}

/// The pixels, row by row from the top.
///
/// A point first marks one corner of its square, and then every mark grows to a square, so two sides of the
/// film are larger by `point_size − 1`. The largest value wins, that is, the brightest and nearest point.
/// One extra cell at the end takes the points that are not seen.
#[derive(Default)]
pub(crate) struct Film {
    pixels: Vec<u8>,
    height: usize,
    width: usize,
    /// Cells of a row.
    stride: usize,
}

impl Film {
    /// Clears the film and projects a cloud onto it.
    pub(crate) fn project(
        &mut self,
        cloud: &Cloud,
        camera: Camera,
        [height, width]: [usize; 2],
        point_size: usize,
        shade: bool,
        simd: Simd,
    ) {
        let more = point_size - 1;
        *self = Self { pixels: std::mem::take(&mut self.pixels), height, width, stride: width + more };
        let unseen = (height + more) * self.stride;
        self.pixels.clear();
        self.pixels.resize(unseen + 1, 0);
        simd.run(Project { cloud, camera, film: self, point_size, shade });
        simd.run(Grow { cells: &mut self.pixels[..unseen], step: 1, point_size });
        simd.run(Grow { cells: &mut self.pixels[..unseen], step: self.stride, point_size });
    }

    /// Writes the pixels of the window, three times each in color.
    pub(crate) fn show(&self, window: Window, color: bool, pixels: &mut [u8]) {
        let window = window.from_top();
        if color {
            window.write(&self.pixels, self.stride, pixels.as_chunks_mut().0, |gray| [gray; 3]);
        } else {
            window.write(&self.pixels, self.stride, pixels, |gray| gray);
        }
    }

    /// Returns a row of pixels, counted from the top.
    fn row(&self, row: usize) -> &[u8] {
        &self.pixels[row * self.stride..][..self.width]
    }

    /// Returns the (row, column) of a lit pixel; if there is none, lights the one in the middle.
    pub(crate) fn lit_pixel(&mut self) -> (usize, usize) {
        let lit = |row: usize| Some((row, self.row(row).iter().rposition(|&pixel| pixel != 0)?));
        if let Some(found) = (0..self.height).rev().find_map(lit) {
            return found;
        }
        let (row, column) = (self.height / 2, self.width / 2);
        self.pixels[row * self.stride + column] = WHITE;
        (row, column)
    }
}

/// Sets every cell to the maximum of itself and the next `point_size − 1` cells, `step` apart.
struct Grow<'a> {
    cells: &'a mut [u8],
    step: usize,
    point_size: usize,
}

impl Kernel for Grow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let Self { cells, step, point_size } = self;
        let mut done = 1;
        while done < point_size {
            let more = done.min(point_size - done);
            let ahead = more * step;
            let mut next = [0; CHUNK];
            for from in (0..cells.len() - ahead).step_by(CHUNK) {
                let to = (cells.len() - ahead).min(from + CHUNK);
                // Copied before any cell changes.
                next[..to - from].copy_from_slice(&cells[from + ahead..to + ahead]);
                for (cell, &next) in cells[from..to].iter_mut().zip(&next) {
                    *cell = next.max(*cell);
                }
            }
            done += more;
        }
    }
}

struct Project<'a> {
    cloud: &'a Cloud,
    camera: Camera,
    film: &'a mut Film,
    point_size: usize,
    shade: bool,
}

impl Kernel for Project<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        // Plain loops here and below, which the compiler vectorizes for each backend.
        let Self { cloud, camera, film, point_size, shade } = self;
        let view = Projection::new(camera, film.height, film.width);
        let [all_x, all_y, all_z] = cloud.axes.each_ref().map(|axis| axis.chunks(CHUNK));
        let mut points = [[0.0; CHUNK]; 3];
        let mut found =
            Found { rows: [0; CHUNK], columns: [0; CHUNK], grays: [WHITE; CHUNK], seen: [false; CHUNK] };
        let mut cells = [0u32; CHUNK];
        let unseen = (film.pixels.len() - 1) as u32; // at most 4159²
        for ((x, y), z) in all_x.zip(all_y).zip(all_z) {
            for (points, axis) in points.iter_mut().zip([x, y, z]) {
                points[..axis.len()].copy_from_slice(axis);
            }
            view.find(&points, &mut found);
            if shade {
                view.shade(&points, &mut found.grays);
            }
            found.cells(point_size, film.stride as u32, unseen, &mut cells);
            let cells = &cells[..x.len()];
            if shade {
                for (&cell, gray) in cells.iter().zip(found.grays) {
                    let pixel = &mut film.pixels[cell as usize];
                    *pixel = gray.max(*pixel); // nearer points are brighter
                }
            } else {
                scatter(cells, &mut film.pixels, |_| WHITE);
            }
        }
    }
}

/// The projections of a chunk of points: rows and columns in 1/256 of a pixel.
struct Found {
    rows: [i32; CHUNK],
    columns: [i32; CHUNK],
    grays: [u8; CHUNK],
    seen: [bool; CHUNK],
}

impl Found {
    /// Finds the cells of a film with rows of `stride` cells; points that are not seen get `unseen`.
    #[inline(always)]
    fn cells(&self, point_size: usize, stride: u32, unseen: u32, cells: &mut [u32; CHUNK]) {
        // The mark is the bottom right corner of the square, half a square from the point.
        let half = 128 * (point_size as i32 - 1); // at most 64
        for (i, cell) in cells.iter_mut().enumerate() {
            // Inside the image, so not negative.
            let [row, column] = [self.rows[i], self.columns[i]].map(|at| (at + half) as u32 >> 8);
            *cell = if self.seen[i] { row * stride + column } else { unseen };
        }
    }
}

/// A camera, and the image plane in pixels.
#[derive(Clone, Copy)]
struct Projection {
    camera: Camera,
    /// Half of the smaller side: pixels per unit of the image plane.
    half: f32,
    /// The middle of the image, row and column.
    middle: [f32; 2],
    /// Height and width.
    size: [f32; 2],
}

impl Projection {
    fn new(camera: Camera, height: usize, width: usize) -> Self {
        let size = [height as f32, width as f32];
        Self { camera, half: height.min(width) as f32 / 2.0, middle: size.map(|side| side / 2.0), size }
    }

    #[inline(always)]
    fn find(self, [x, y, z]: &[[f32; CHUNK]; 3], found: &mut Found) {
        let Self { camera: Camera { right, down, away }, half, middle, size } = self;
        for i in 0..CHUNK {
            let depth = DISTANCE + x[i] * away[0] + y[i] * away[1] + z[i] * away[2];
            let across = FOCAL * (x[i] * right[0] + y[i] * right[1] + z[i] * right[2]) / depth;
            let along = FOCAL * (x[i] * down[0] + y[i] * down[1] + z[i] * down[2]) / depth;
            let (row, column) = (half * along + middle[0], half * across + middle[1]);
            let seen = (depth >= *SEEN.start())
                & (depth <= *SEEN.end())
                & (row >= 0.0)
                & (row < size[0] - 0.5 / FRACTIONS)
                & (column >= 0.0)
                & (column < size[1] - 0.5 / FRACTIONS);
            found.seen[i] = seen;
            found.rows[i] = snapped(if seen { row } else { 0.0 });
            found.columns[i] = snapped(if seen { column } else { 0.0 });
        }
    }

    #[inline(always)]
    fn shade(self, [x, y, z]: &[[f32; CHUNK]; 3], grays: &mut [u8; CHUNK]) {
        let ([ax, ay, az], (near, loss, least)) = (self.camera.away, SHADE);
        for i in 0..CHUNK {
            let depth = DISTANCE + x[i] * ax + y[i] * ay + z[i] * az;
            let gray = f32::from(WHITE) - (depth - near) * loss;
            let gray = if gray > least { gray } else { least };
            grays[i] = if gray < f32::from(WHITE) { gray } else { f32::from(WHITE) } as u8; // 63…255
        }
    }
}

/// Rounds a coordinate inside the image to 1/256 pixel. (2²³ plus the coordinate has no fraction in
/// float32, and its low bits are the rounded number.)
#[inline(always)]
fn snapped(v: f32) -> i32 {
    ((v * FRACTIONS + 8_388_608.0).to_bits() & 0x7F_FFFF) as i32 // 23 bits
}
