"""Multiple choice: question files of public benchmarks, letters and texts of answers, accuracy, exports."""
