// Runs an exported segline network on one preprocessed patch, without Python.
//
//     segline_patch model.onnx patch.nii [repeats]
//
// Prints one line of JSON: the patch's shape, the median latency, how many voxels each class got, and a checksum
// of the labels (FNV-1a, 64 bit, over uint8 class indices with z running fastest).

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "network.h"
#include "nifti.h"

namespace {

std::vector<std::uint8_t> largest_class(const Scores& scores) {
    const std::size_t classes = scores.shape[1], voxels = scores.shape[2] * scores.shape[3] * scores.shape[4];
    const float* score = scores.values;
    std::vector<std::uint8_t> labels(voxels, 0);
    std::vector<float> best(score, score + voxels);
    for (std::size_t k = 1; k < classes; ++k)
        for (std::size_t i = 0; i < voxels; ++i)
            if (score[k * voxels + i] > best[i]) {
                best[i] = score[k * voxels + i];
                labels[i] = static_cast<std::uint8_t>(k);
            }
    return labels;
}

std::uint64_t fnv1a(const std::vector<std::uint8_t>& bytes) {
    std::uint64_t hash = 14695981039346656037ull;
    for (std::uint8_t byte : bytes) hash = (hash ^ byte) * 1099511628211ull;
    return hash;
}

double median_latency_ms(Network& network, int repeats) {
    std::vector<double> times;
    for (int i = 0; i < repeats; ++i) {
        const auto start = std::chrono::steady_clock::now();
        network.run();
        times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

int run(const std::string& model_path, const std::string& patch_path, int repeats) {
    Volume patch = read_nifti(patch_path);
    Network network(model_path, patch);
    network.run();
    const double latency_ms = median_latency_ms(network, repeats);
    const std::vector<std::uint8_t> labels = largest_class(network.scores());
    const auto labelled = std::count_if(labels.begin(), labels.end(), [](std::uint8_t label) { return label > 0; });
    std::printf("{\"shape\": [%zu, %zu, %zu], \"latency_ms\": %.3f, \"labelled\": %td, \"checksum\": \"%016llx\"}\n",
                patch.shape[0], patch.shape[1], patch.shape[2], latency_ms, labelled, static_cast<unsigned long long>(fnv1a(labels)));
    return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3 || argc > 4) {
        std::cerr << "usage: segline_patch model.onnx patch.nii [repeats]\n";
        return 2;
    }
    try {
        return run(argv[1], argv[2], argc == 4 ? std::max(1, std::atoi(argv[3])) : 5);
    } catch (const std::exception& error) {
        std::cerr << "segline_patch: " << error.what() << "\n";
        return 1;
    }
}
