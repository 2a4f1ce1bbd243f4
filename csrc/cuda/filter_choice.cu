// Which kernel and which tiles a problem gets: a pure function, so that it can be printed and tested without a GPU.
#include "cuda/filter_rules.cuh"

namespace brenier::cuda {
namespace {

constexpr int kGroup = 16;

std::int64_t parts(Kernel kernel, std::int64_t blocks, std::int64_t tiles, int processors) {
    // Where x streams anyway a part is four tiles; else parts only even out the last round of blocks.
    const std::int64_t wanted = kernel == Kernel::kSm90Resident ? (8LL * processors + blocks - 1) / blocks : (tiles + 3) / 4;
    const std::int64_t most = tiles < 1 << 20 ? tiles : 1 << 20;
    return wanted < 1 ? 1 : wanted < most ? wanted : most;
}

Kernel kernel_for(int width, int major) {
    if (major != 9) return Kernel::kSm80;
    return width <= 256 ? Kernel::kSm90Resident : Kernel::kSm90Streamed;
}

int block_targets(Kernel kernel, int width) {
    if (kernel == Kernel::kSm80 || width > kOneChain) return 128;
    return width == 256 ? 128 : 256;
}

}  // namespace

FilterConfig filter_configuration(std::int64_t rows, std::int64_t targets, int width, int major, int processors) {
    const Kernel kernel = kernel_for(width, major);
    FilterConfig c = {kernel, 128, block_targets(kernel, width), width > kOneChain ? kSection : 0, 1, kGroup, 1};
    const std::int64_t blocks = (rows + c.block_rows - 1) / c.block_rows;
    const std::int64_t tiles = (targets + c.block_targets - 1) / c.block_targets;
    c.splits = static_cast<int>(parts(kernel, blocks, tiles, processors));
    const std::int64_t units = blocks * c.splits;
    c.programs = static_cast<int>(units < processors ? units : processors);
    return c;
}

Status filter(const Filter& problem, const FilterConfig& config, const Launch& launch) {
    return config.kernel == Kernel::kSm80 ? filter_sm80(problem, config, launch) : filter_sm90(problem, config, launch);
}

}  // namespace brenier::cuda
