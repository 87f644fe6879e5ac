#pragma once

#include "tests/check.h"

int main() { return lpc::test::run_all(); }
