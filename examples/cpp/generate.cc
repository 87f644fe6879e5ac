// Runs a folder that lpc-export made with plain onnxruntime: greedy tokens after a prompt of token ids.
//
//   generate FOLDER liblpc.so COUNT ID [ID...]        prints COUNT token ids on one line
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) try {
  if (argc < 5) {
    std::cerr << "usage: generate FOLDER liblpc.so COUNT ID [ID...]\n";
    return 2;
  }
  const std::string model = std::string(argv[1]) + "/model.onnx", library = argv[2];
  std::vector<int64_t> ids;
  for (int i = 4; i < argc; ++i) ids.push_back(std::stoll(argv[i]));

  // One library is the operator and the execution provider. The operator goes first: onnxruntime 1.23 wants it so.
  Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "generate");
  Ort::SessionOptions options;
  options.RegisterCustomOpsLibrary(library.c_str());
  env.RegisterExecutionProviderLibrary("LpcExecutionProvider", library);
  std::vector<Ort::ConstEpDevice> devices;
  for (const auto& device : env.GetEpDevices()) {
    if (std::string(device.EpName()) == "LpcExecutionProvider" && devices.empty()) devices.push_back(device);
  }
  options.AppendExecutionProvider_V2(env, devices, Ort::KeyValuePairs());
  Ort::Session session(env, model.c_str(), options);

  // Inputs: token_inputs, then the KV cache, empty at first. Outputs: logits, then the cache with the new tokens.
  const std::vector<std::string> inputs = session.GetInputNames(), outputs = session.GetOutputNames();
  std::vector<const char*> input_names, output_names;
  for (const auto& name : inputs) input_names.push_back(name.c_str());
  for (const auto& name : outputs) output_names.push_back(name.c_str());
  const auto cpu = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  Ort::AllocatorWithDefaultOptions allocator;
  size_t tokens = 0;  // how many of the inputs are not cache
  std::vector<Ort::Value> cache;
  for (size_t i = 0; i < inputs.size(); ++i) {
    auto shape = session.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetShape();
    if (shape.size() != 4) {
      ++tokens;
      continue;
    }
    shape[0] = 1, shape[2] = 0;
    cache.push_back(Ort::Value::CreateTensor<float>(allocator, shape.data(), shape.size()));
  }

  int64_t length = 0;
  for (int step = 0; step < std::stoi(argv[3]); ++step) {
    std::vector<int64_t> positions(ids.size()), mask(length + ids.size(), 1);
    for (size_t i = 0; i < ids.size(); ++i) positions[i] = length + static_cast<int64_t>(i);
    length += static_cast<int64_t>(ids.size());
    std::vector<Ort::Value> feeds;
    for (size_t i = 0; i < tokens; ++i) {
      auto& values = inputs[i] == "input_ids" ? ids : inputs[i] == "attention_mask" ? mask : positions;
      const int64_t shape[] = {1, static_cast<int64_t>(values.size())};
      feeds.push_back(Ort::Value::CreateTensor<int64_t>(cpu, values.data(), values.size(), shape, 2));
    }
    std::move(cache.begin(), cache.end(), std::back_inserter(feeds));
    auto results = session.Run(Ort::RunOptions(), input_names.data(), feeds.data(), feeds.size(), output_names.data(),
                               output_names.size());
    const auto vocabulary = results[0].GetTensorTypeAndShapeInfo().GetShape()[2];
    const float* last = results[0].GetTensorData<float>() + (ids.size() - 1) * vocabulary;
    ids = {std::max_element(last, last + vocabulary) - last};
    std::cout << ids[0] << ' ';
    cache.assign(std::make_move_iterator(results.begin() + 1), std::make_move_iterator(results.end()));
  }
  std::cout << '\n';
} catch (const std::exception& error) {
  std::cerr << "generate: " << error.what() << '\n';
  return 1;
}
