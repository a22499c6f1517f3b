// Reads one channel of an uncompressed NIfTI-1 file.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

struct Volume {
    std::array<std::size_t, 3> shape;  // voxels along x, y, z
    std::vector<float> voxels;         // z runs fastest, as the network wants it
};

// Throws std::runtime_error, naming the file, when it is not a little-endian 3-D NIfTI-1 file of uint8, int16
// or float32 voxels.
Volume read_nifti(const std::string& path);
