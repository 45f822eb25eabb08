// Hands out the codes of a search in blocks, those that are not allowed left out.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "isohash.h"
#include "search/consumers.hpp"

namespace isohash {

// Memory for kernels, at the alignment of a cache line.
class Buffer {
  public:
    explicit Buffer(int64_t bytes) {
        if (bytes == 0) return;
        const size_t room = (static_cast<size_t>(bytes) + alignment - 1) / alignment * alignment;
        data_.reset(static_cast<uint8_t *>(::operator new(room, std::align_val_t{alignment})));
    }
    uint8_t *bytes() const { return data_.get(); }
    int32_t *ints() const { return reinterpret_cast<int32_t *>(data_.get()); }

  private:
    static constexpr size_t alignment = 64;
    struct Free {
        void operator()(uint8_t *p) const { ::operator delete(p, std::align_val_t{alignment}); }
    };
    std::unique_ptr<uint8_t, Free> data_;
};

struct Block {
    const uint8_t *codes;
    int64_t rows;
    Places places;
};

// Hands out the allowed codes of a range in blocks. Where some are not allowed, the others are
// gathered, so that kernels meet consecutive rows and nobody computes what is thrown away.
class Blocks {
  public:
    Blocks(const isohash_scan &scan, Range range, int64_t block_rows)
        : scan_(scan), next_(range.first), last_(range.last), block_rows_(block_rows),
          gathered_(scan.allowed ? block_rows * scan.row_bytes : 0),
          positions_(scan.allowed ? static_cast<size_t>(block_rows) : 0) {}

    bool next(Block &block) {
        if (next_ >= last_) return false;
        if (scan_.allowed) return gather(block);
        const int64_t rows = std::min(block_rows_, last_ - next_);
        block = {row(next_), rows, {next_, nullptr}};
        next_ += rows;
        return true;
    }

  private:
    const uint8_t *row(int64_t i) const { return scan_.codes + i * scan_.row_bytes; }

    bool gather(Block &block) {
        int64_t rows = 0;
        for (; next_ < last_ && rows < block_rows_; next_++) {
            if (!scan_.allowed[next_]) continue;
            std::memcpy(gathered_.bytes() + rows * scan_.row_bytes, row(next_),
                        static_cast<size_t>(scan_.row_bytes));
            positions_[static_cast<size_t>(rows++)] = static_cast<uint32_t>(next_);
        }
        block = {gathered_.bytes(), rows, {0, positions_.data()}};
        return rows > 0;
    }

    const isohash_scan &scan_;
    int64_t next_, last_, block_rows_;
    Buffer gathered_;
    std::vector<uint32_t> positions_;
};

} // namespace isohash
