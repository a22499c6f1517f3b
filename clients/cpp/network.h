// An exported segline network on the runtime that the client is built with.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>

#include "nifti.h"

struct Scores {
    std::array<std::size_t, 5> shape;  // 1, classes, x, y, z
    const float* values;               // before softmax; the network's own until it runs again
};

class Network {
public:
    // Opens model.onnx for patches of one channel, which must outlive the network, in float32 on the CPU.
    // Throws std::exception when the graph cannot be read or wants something else.
    Network(const std::string& model_path, Volume& patch);
    ~Network();

    void run();
    Scores scores() const;

private:
    struct Opened;
    std::unique_ptr<Opened> opened_;
};
