{
  # node-gyp rebuild gives the same addon: CMake builds it, this only forwards.
  "targets": [
    {
      "target_name": "ehr_jepa",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/release/ehr_jepa.node"],
          "action": ["node", "scripts/setup.mjs", "build"]
        }
      ]
    }
  ]
}
