// How threads share out the work of a node. Each thread computes its own share from its number: there is no counter and no lock
// that threads wait for. For kernels/*.cpp and the tests that count shares.
#pragma once

#include <algorithm>
#include <cstdint>

namespace dg {

// The units of a linear layer: a panel of rows times a chunk of tokens that stays in the cache, ordered by chunks.
class Shares {
public:
    // `fitting`: pairs of groups of tokens that the cache keeps.
    Shares(int64_t groups, int64_t fitting, int64_t panels, int nth) : pairs_((groups + 1) / 2), panels_(panels) {
        const int64_t fewest = (pairs_ + fitting - 1) / fitting;
        // enough of them that every thread has work
        const int64_t least = std::min(pairs_, std::max(fewest, (2 * nth + panels - 1) / panels));
        // and up to three times as many, if the longest share is shorter then
        chunks_ = least;
        for (int64_t chunks = least + 1; chunks <= std::min(pairs_, 3 * least) && longest(chunks_, nth) > enough(nth);
             chunks++) {
            chunks_ = longest(chunks, nth) < longest(chunks_, nth) ? chunks : chunks_;
        }
    }

    // The first unit of the thread ith, as near as units allow to that fraction of the work: chunks differ by a pair of groups.
    int64_t begin(int ith, int nth) const {
        int64_t work = pairs_ * panels_ * ith / nth;
        for (int64_t chunk = 0; chunk < chunks_; chunk++) {
            const int64_t size = first_pair(chunk + 1) - first_pair(chunk);
            if (work < size * panels_) {
                return chunk * panels_ + (work + size / 2) / size;
            }
            work -= size * panels_;
        }
        return chunks_ * panels_;
    }
    int64_t panel(int64_t unit) const { return unit % panels_; }
    int64_t first_group(int64_t unit) const { return 2 * first_pair(unit / panels_); }
    int64_t end_group(int64_t unit) const { return 2 * first_pair(unit / panels_ + 1); }

private:
    int64_t first_pair(int64_t chunk) const { return pairs_ * chunk / chunks_; }

    // Panels times pairs of the longest share.
    int64_t longest(int64_t chunks, int nth) const {
        return (panels_ * chunks + nth - 1) / nth * ((pairs_ + chunks - 1) / chunks);
    }
    // A share that is not worth being made shorter: an eighth above the mean.
    int64_t enough(int nth) const { return pairs_ * panels_ * 9 / (8 * nth); }

    int64_t pairs_, panels_, chunks_;
};

// The units of a convolution: blocks of groups of pixels times tiles of output channels. A thread's units follow each other, so
// that it reads the inputs of a block once.
class BlockShares {
public:
    // `most`: groups of a block. Blocks are smaller where threads would have no work, but not below a pair of groups.
    BlockShares(int64_t groups, int64_t most, int64_t tiles, int nth)
        : groups_(groups),
          tiles_(tiles),
          blocks_(std::max((groups + most - 1) / most, std::min((groups + 1) / 2, (4 * nth + tiles - 1) / tiles))) {}

    // Calls compute(group0, group1, tile0, tile1) for each block that the thread has a part of.
    template <typename Compute>
    void each(int ith, int nth, Compute compute) const {
        const int64_t end = blocks_ * tiles_ * (ith + 1) / nth;
        for (int64_t unit = blocks_ * tiles_ * ith / nth; unit < end;) {
            const int64_t block = unit / tiles_, first = unit % tiles_, last = std::min(tiles_, first + end - unit);
            compute(groups_ * block / blocks_, groups_ * (block + 1) / blocks_, first, last);
            unit += last - first;
        }
    }

private:
    int64_t groups_, tiles_, blocks_;
};

}  // namespace dg
