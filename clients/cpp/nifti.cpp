#include "nifti.h"

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace {

// Offsets of the NIfTI-1 header's fields, in bytes (nifti1.h of the NIfTI-1.1 standard).
constexpr std::size_t kHeaderBytes = 348, kDim = 40, kDatatype = 70, kVoxOffset = 108, kSlope = 112, kInter = 116;
enum Datatype : std::int16_t { kUint8 = 2, kInt16 = 4, kFloat32 = 16 };

template <typename T>
T field(const std::vector<char>& bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}

template <typename T>
std::vector<float> voxels_z_fastest(const std::vector<char>& bytes, std::size_t offset, const std::array<std::size_t, 3>& n) {
    if (bytes.size() < offset + n[0] * n[1] * n[2] * sizeof(T)) throw std::runtime_error("truncated");
    std::vector<float> voxels(n[0] * n[1] * n[2]);
    for (std::size_t z = 0, from = 0; z < n[2]; ++z)
        for (std::size_t y = 0; y < n[1]; ++y)
            for (std::size_t x = 0; x < n[0]; ++x, ++from)
                voxels[(x * n[1] + y) * n[2] + z] = static_cast<float>(field<T>(bytes, offset + from * sizeof(T)));
    return voxels;
}

std::vector<float> read_voxels(const std::vector<char>& bytes, const std::array<std::size_t, 3>& shape) {
    const auto offset = static_cast<std::size_t>(field<float>(bytes, kVoxOffset));
    switch (field<std::int16_t>(bytes, kDatatype)) {
        case kUint8: return voxels_z_fastest<std::uint8_t>(bytes, offset, shape);
        case kInt16: return voxels_z_fastest<std::int16_t>(bytes, offset, shape);
        case kFloat32: return voxels_z_fastest<float>(bytes, offset, shape);
        default: throw std::runtime_error("voxels must be uint8, int16 or float32");
    }
}

Volume parse(const std::vector<char>& bytes) {
    if (bytes.size() < kHeaderBytes || field<std::int32_t>(bytes, 0) != static_cast<std::int32_t>(kHeaderBytes))
        throw std::runtime_error("not an uncompressed little-endian NIfTI-1 file");
    if (field<std::int16_t>(bytes, kDim) != 3) throw std::runtime_error("not a 3-D volume");
    Volume volume{};
    for (std::size_t axis = 0; axis < 3; ++axis)
        volume.shape[axis] = static_cast<std::size_t>(field<std::int16_t>(bytes, kDim + 2 * (axis + 1)));
    volume.voxels = read_voxels(bytes, volume.shape);
    const float slope = field<float>(bytes, kSlope), inter = field<float>(bytes, kInter);
    if (slope != 0.0f && slope == slope)  // NaN or 0: no scaling
        for (float& voxel : volume.voxels) voxel = slope * voxel + inter;
    return volume;
}

}  // namespace

Volume read_nifti(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) throw std::runtime_error(path + ": cannot be read");
    const std::vector<char> bytes((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    try {
        return parse(bytes);
    } catch (const std::runtime_error& error) {
        throw std::runtime_error(path + ": " + error.what());
    }
}
