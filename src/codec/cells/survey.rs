//! Which cells the runs of a block are, and which shapes they have.

use super::{
    super::{
        block::{BLOCK_WORDS, Block, GRANULES, QUARTERS},
        few,
        layout::Layout,
        nibbles::{self, Kind, NIBBLES, last_of, set_sixteen, set_word},
    },
    Cell, Cells, SHAPES,
    shapes::{Shape, Shapes, Whole},
};

/// Takes the tags of a block out of its words, and looks for its cells, and their shapes. There are none in [`Layout::cells`] where
/// there would be too many shapes, nor where a few runs touch: a list is hardly longer. Runs that touch are cells of one shape, or none.
// One after the other: what one has on the stack the next does not need.
#[inline(always)]
pub(in crate::codec) fn survey(block: &mut Block, layout: &mut Layout) {
    layout.cells = 0;
    let few = if block.alternates() { 0 } else { few::UNORDERED };
    if block.boundaries() <= few || block.period() == 0 && !block.alternates() {
        block.take_runs();
    } else if block.period() > 0 {
        block.take_cells();
        survey_grid(block, layout);
    } else {
        match survey_whole(block, layout) {
            Ok(last) => {
                if survey_cut(block, layout, last).is_none() {
                    layout.cells = 0;
                }
            }
            Err(Left { len, from }) => block.take_others(len.into(), from.into()),
        }
    }
}

/// All cells are like the second of them.
#[inline(never)]
fn survey_grid(block: &Block, layout: &mut Layout) {
    let mut cells = Cells::new(block);
    let (Some(first), Some(cell)) = (cells.next(), cells.next()) else { return };
    layout.shapes = Shapes::of_one(cell.shape());
    // None, where more of the first cell lies before the block than can be said: a block of two cells and parts of others, for
    // which a list does.
    if let Some((_, skip)) = layout.shapes.find_first(first) {
        layout.skip = skip;
        // The last, too, whatever the block's end cut off.
        layout.cells = block.cells() as u8;
    }
}

/// A cell that the block's end cuts: where it begins, and its run. 0 and 0, if it is the first, too.
// Small, so that it goes through a register.
#[derive(Clone, Copy)]
struct Last {
    begin: u16,
    at: u16,
}

/// There are too many shapes. So many tags have been taken out; the others are those of runs from this granule on.
struct Left {
    len: u16,
    from: u16,
}

/// Takes out the tags, and finds the shapes of the cells that the block's ends have not cut, and which cells have which; every
/// other run of the block is of tag 0.
#[inline(never)]
fn survey_whole(block: &mut Block, layout: &mut Layout) -> Result<Last, Left> {
    let mut shapes = Whole::default();
    let mut both = Both::default();
    // Where the cell at hand begins, and its run; and whether that has begun.
    let (mut begin, mut at, mut within) = (0u32, 0u32, false);
    for quarter in 0..QUARTERS {
        let mut rest = block.turns(quarter);
        let base = (quarter as u32) << 6;
        loop {
            if !within {
                if rest == 0 {
                    break;
                }
                let granule = rest.trailing_zeros();
                rest &= rest.wrapping_sub(1);
                at = base | granule;
                both.tags = both.tags >> 4 | block.tag_at(quarter, granule) << 60;
                within = true;
            }
            if rest == 0 {
                break;
            }
            let end = base | rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            within = false;
            // The cells that are cut get theirs later.
            let mut number = 0;
            if both.len > 0 {
                let shape = Shape::of(at.wrapping_sub(begin), end.wrapping_sub(at));
                number = shapes.find_or_add(shape);
                if number >= SHAPES as u64 {
                    both.push(0, block);
                    set_word(&mut block.words, BLOCK_WORDS, both.tags);
                    return Err(Left { len: both.len as u16, from: end.wrapping_add(1) as u16 });
                }
            }
            begin = end;
            both.push(number, block);
        }
    }
    let mut last = Last { begin: begin as u16, at: GRANULES as u16 };
    if within {
        last = if both.len > 0 { Last { at: at as u16, ..last } } else { Last { begin: 0, at: 0 } };
        both.push(0, block);
    }
    both.finish(block);
    layout.shapes = shapes.shapes();
    // No more than there is room for: more are of two granules each, and a grid.
    layout.cells = block.cells() as u8;
    Ok(last)
}

/// The last tags and the last numbers that are not put down, in the highest nibbles; and how many there are of both.
#[derive(Default)]
struct Both {
    tags: u64,
    numbers: u64,
    len: usize,
}

impl Both {
    /// Appends a number; its tag is there.
    #[inline(always)]
    fn push(&mut self, number: u64, block: &mut Block) {
        self.numbers = self.numbers >> 4 | number << 60;
        if self.len % NIBBLES == NIBBLES - 1 {
            set_sixteen(&mut block.words, Kind::Tags, self.len / NIBBLES, self.tags);
            set_sixteen(&mut block.words, Kind::Shapes, self.len / NIBBLES, self.numbers);
        }
        self.len = self.len.wrapping_add(1);
    }

    /// Puts down the last of both, and zeroes behind them.
    #[inline(always)]
    fn finish(&self, block: &mut Block) {
        let index = self.len / NIBBLES;
        set_sixteen(&mut block.words, Kind::Tags, index, last_of(self.tags, self.len));
        set_sixteen(&mut block.words, Kind::Shapes, index, last_of(self.numbers, self.len));
    }
}

/// The ends of the block cut cells: they come last, to find what they are part of. Shapes that are added
/// last come last: the first cell still finds what it found.
#[inline(never)]
fn survey_cut(block: &mut Block, layout: &mut Layout, last: Last) -> Option<()> {
    let first = Cells::new(block).next()?;
    let shapes = &mut layout.shapes;
    let (number, skip) = match shapes.find_first(first) {
        Some(found) => found,
        None => (shapes.find_or_add(first.shape())?, 0),
    };
    layout.skip = skip;
    nibbles::set(&mut block.words, Kind::Shapes, 0, number);
    if last.begin > 0 {
        let cell = Cell { begin: last.begin.into(), at: last.at.into(), end: GRANULES };
        let number = match shapes.find_last(cell) {
            Some(number) => number,
            None => shapes.find_or_add(cell.shape())?,
        };
        let index = block.cells().wrapping_sub(1);
        nibbles::set(&mut block.words, Kind::Shapes, index, number);
    }
    Some(())
}
