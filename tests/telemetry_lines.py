"""Real lines of tegrastats, as boards printed them; each with the board and the release it came from."""

from __future__ import annotations

LINES = {
    # TX1 / L4T 28-era (old keys: lower-case cpu, EMC, GR3D)  [C]
    "tx1-l4t28": (
        "RAM 3468/3983MB (lfb 48x4MB) SWAP 873/8192MB (cached 295MB) cpu [17%,13%,29%,5%]@408 EMC 1%@408 APE "
        "25 GR3D 3%@76"
    ),
    # TX1 / JetPack 3.x-4.x  [T]
    "tx1-jp3": (
        "RAM 1179/3983MB (lfb 120x4MB) IRAM 0/252kB(lfb 252kB) CPU [1%@102,4%@102,0%@102,0%@102] EMC_FREQ "
        "7%@408 GR3D_FREQ 0%@76 APE 25 AO@42.5C CPU@37.5C GPU@39C PLL@37C Tdiode@42.75C PMIC@100C Tboard@42C "
        "thermal@38.5C VDD_IN 2532/2698 VDD_CPU 76/178 VDD_GPU 19/19"
    ),
    # Jetson Nano / JetPack 4.x, no sudo (no @freq after EMC/GR3D)  [T]
    "nano-jp4": (
        "RAM 613/3964MB (lfb 634x4MB) SWAP 0/1982MB (cached 0MB) CPU [2%@102,1%@102,0%@102,0%@102] EMC_FREQ "
        "0% GR3D_FREQ 0% PLL@39C CPU@40.5C PMIC@100C GPU@41C AO@46C thermal@41C POM_5V_IN 900/943 POM_5V_GPU "
        "0/0 POM_5V_CPU 123/123"
    ),
    # Jetson Nano / JetPack 4.x, sudo (IRAM, @freq, APE)  [T]
    "nano-jp4-sudo": (
        "RAM 534/3964MB (lfb 98x4MB) SWAP 5/1982MB (cached 1MB) IRAM 0/252kB(lfb 252kB) CPU "
        "[16%@204,9%@204,0%@204,0%@204] EMC_FREQ 0%@204 GR3D_FREQ 0%@76 APE 25 PLL@34C CPU@36.5C PMIC@100C "
        "GPU@36C AO@39.5C thermal@36.25C POM_5V_IN 1022/1022 POM_5V_GPU 0/0 POM_5V_CPU 204/204"
    ),
    # Jetson Nano / JetPack 4.6.1 (note PMIC@50C)  [T]
    "nano-jp461": (
        "RAM 1923/3964MB (lfb 2x2MB) SWAP 191/1982MB (cached 6MB) IRAM 0/252kB(lfb 252kB) CPU "
        "[5%@1224,4%@1224,3%@1224,6%@1224] EMC_FREQ 0%@1600 GR3D_FREQ 0%@76 APE 25 PLL@37C CPU@40C PMIC@50C "
        "GPU@40C AO@45C thermal@40C POM_5V_IN 1750/1628 POM_5V_GPU 0/0 POM_5V_CPU 366/406"
    ),
    # Jetson Nano 5W mode, two cores off  [T]
    "nano-5w": (
        "RAM 1901/3956MB (lfb 183x4MB) SWAP 0/1978MB (cached 0MB) CPU [8%@102,6%@102,off,off] EMC_FREQ 0% "
        "GR3D_FREQ 0% PLL@38.5C CPU@41.5C PMIC@100C GPU@41.5C AO@48C thermal@41.75C POM_5V_IN 1154/1544 "
        "POM_5V_GPU 0/43 POM_5V_CPU 119/205"
    ),
    # TX2 / JetPack 4.x (VDD_SYS_* names, Denver cores off)  [T]
    "tx2-jp4": (
        "RAM 2344/7852MB (lfb 1154x4MB) SWAP 0/3926MB (cached 0MB) CPU [1%@345,off,off,1%@345,0%@345,2%@345] "
        "EMC_FREQ 4%@1600 GR3D_FREQ 0%@624 APE 150 PLL@37.5C MCPU@37.5C PMIC@100C Tboard@32C GPU@35C "
        "BCPU@37.5C thermal@36.5C Tdiode@34.25C VDD_SYS_GPU 152/152 VDD_SYS_SOC 687/687 VDD_4V0_WIFI 0/0 "
        "VDD_IN 3056/3056 VDD_SYS_CPU 152/152 VDD_SYS_DDR 883/883"
    ),
    # TX2 / earlier L4T (VDD_CPU/VDD_GPU/VDD_SOC names)  [T]
    "tx2-early": (
        "RAM 1345/7829MB (lfb 1290x4MB) SWAP 0/512MB (cached 0MB) CPU [2%@345,off,off,off,off,off] EMC_FREQ "
        "13%@40 GR3D_FREQ 0%@114 APE 150 BCPU@35C MCPU@35C GPU@41C PLL@35C AO@35.5C Tboard@35C Tdiode@36C "
        "PMIC@100C thermal@35.5C VDD_IN 2003/2658 VDD_CPU 320/518 VDD_GPU 400/735 VDD_SOC 400/415 VDD_WIFI "
        "0/0 VDD_DDR 240/348"
    ),
    # AGX Xavier / JetPack 4.x (rails GPU CPU SOC CV VDDRQ SYS5V, MTS; no unit)  [T]
    "agx-xavier-jp4": (
        "RAM 721/31927MB (lfb 7291x4MB) SWAP 0/15963MB (cached 0MB) CPU "
        "[2%@1190,0%@1190,0%@1190,0%@1190,off,off,off,off] EMC_FREQ 0%@665 GR3D_FREQ 0%@318 APE 150 MTS fg "
        "0% bg 0% AO@37.5C GPU@37.5C Tdiode@40C PMIC@100C AUX@36C CPU@37.5C thermal@36.9C Tboard@37C GPU 0/0 "
        "CPU 311/311 SOC 932/932 CV 0/0 VDDRQ 621/621 SYS5V 1482/1482"
    ),
    # AGX Xavier / JetPack 5.x (mW units; fragment: file omits the RAM/CPU prefix)  [T]
    "agx-xavier-jp5-fragment": (
        "[0%@1190,1%@1190,0%@1190,0%@1189,0%@1190,0%@1191,0%@1190,0%@1190] EMC_FREQ 0%@1331 GR3D_FREQ 0%@114 "
        "VIC_FREQ 115 APE 150 AUX@36C CPU@36.5C thermal@35.7C Tboard@37C AO@35C GPU@35C Tdiode@38.75C "
        "PMIC@50C GPU 467mW/467mW CPU 467mW/467mW SOC 1245mW/1245mW CV 0mW/0mW VDDRQ 311mW/311mW SYS5V "
        "2768mW/2768mW"
    ),
    # Xavier NX / JetPack 4.x  [T]
    "xavier-nx-jp4": (
        "RAM 4412/7772MB (lfb 237x4MB) SWAP 139/3886MB (cached 2MB) CPU "
        "[9%@1190,6%@1190,6%@1190,5%@1190,4%@1190,8%@1267] EMC_FREQ 10%@1600 GR3D_FREQ 62%@306 APE 150 MTS "
        "fg 0% bg 0% AO@41.5C GPU@43C PMIC@100C AUX@41.5C CPU@43.5C thermal@42.55C VDD_IN 4067/4067 "
        "VDD_CPU_GPU_CV 738/738 VDD_SOC 1353/1353"
    ),
    # Xavier NX / JetPack 4.x (test is named JetPack411)  [T]
    "xavier-nx-jp4-busy": (
        "RAM 5246/7771MB (lfb 7x4MB) SWAP 983/20269MB (cached 280MB) CPU "
        "[47%@1420,23%@1420,32%@1420,22%@1420,31%@1420,96%@1420] EMC_FREQ 2%@1600 GR3D_FREQ 0%@1109 APE 150 "
        "MTS fg 1% bg 9% AO@29C GPU@31.5C PMIC@100C AUX@30C CPU@33.5C thermal@31.35C VDD_IN 6140/5510 "
        "VDD_CPU_GPU_CV 2706/2119 VDD_SOC 1074/1051"
    ),
    # Xavier NX / JetPack 5.1.2 (date prefix, GR3D @[f], mW)  [T]
    "xavier-nx-jp512": (
        "07-09-2024 13:31:31 RAM 3168/6851MB (lfb 2x4MB) SWAP 161/3426MB (cached 0MB) CPU "
        "[23%@1397,17%@1192,16%@1190,13%@1190,23%@1190,10%@1190] EMC_FREQ 2%@204 GR3D_FREQ 0%@[114] VIC_FREQ "
        "115 APE 150 AUX@45C CPU@46.5C thermal@45.6C AO@45C GPU@45.5C PMIC@50C VDD_IN 2763mW/2846mW "
        "VDD_CPU_GPU_CV 650mW/670mW VDD_SOC 650mW/711mW"
    ),
    # AGX Orin 32GB, 12 CPUs / JetPack 5.x (GR3D2, NVJPG1, -256C for gated sensors, NC rails)  [C]
    "agx-orin32-jp5": (
        "10-16-2023 10:59:22 RAM 1205/30623MB (lfb 6429x4MB) SWAP 0/15311MB (cached 0MB) CPU "
        "[0%@729,0%@729,1%@729,0%@729,0%@729,0%@730,0%@730,0%@729,0%@729,0%@729,0%@729,0%@729] EMC_FREQ "
        "0%@204 GR3D_FREQ 0%@114 GR3D2_FREQ 0%@114 NVJPG1 729 VIC_FREQ 729 APE 233 CV0@-256C CPU@43.5C "
        "Tdiode@32.5C SOC2@40.062C SOC0@40.5C CV1@-256C GPU@38.156C SOC1@39.125C CV2@-256C VDD_GPU_SOC "
        "4788mW/4788mW VDD_CPU_CV 798mW/798mW VIN_SYS_5V0 3842mW/3842mW NC 0mW/0mW VDDQ_VDD2_1V8AO "
        "707mW/707mW NC 0mW/0mW"
    ),
    # Orin NX 16GB (board not named; 8 CPUs, 15388MB) / JetPack 5.x  [T]
    "orin-nx-jp5": (
        "RAM 6334/15388MB (lfb 1770x4MB) SWAP 491/7694MB (cached 0MB) CPU "
        "[6%@729,9%@729,5%@729,16%@729,off,off,off,off] EMC_FREQ 0%@2133 GR3D_FREQ 0%@611 VIC_FREQ 729 APE "
        "174 CV0@45.812C CPU@47.937C SOC2@46.093C SOC0@46.968C CV1@46.406C GPU@45.875C tj@48.875C "
        "SOC1@48.875C CV2@45.75C VDD_IN 5299mW/5299mW VDD_CPU_GPU_CV 773mW/773mW VDD_SOC 1424mW/1424mW"
    ),
    # Orin NX/Nano class, 6 CPUs, 7337MB (board not named) / JetPack 5.x  [T]
    "orin-6cpu-jp5": (
        "01-24-2024 09:17:09 RAM 3503/7337MB (lfb 7x1MB) SWAP 430/3668MB (cached 1MB) CPU "
        "[11%@729,13%@729,9%@729,18%@729,off,off] EMC_FREQ 0%@2133 GR3D_FREQ 0%@305 GR3D2_FREQ 0%@0 VIC_FREQ "
        "115 APE 174 CV0@42.718C CPU@44.093C SOC2@42.625C SOC0@43.281C CV1@42.25C GPU@41.343C tj@46.968C "
        "SOC1@46.968C CV2@42.875C VDD_IN 4915mW/4915mW VDD_CPU_GPU_CV 449mW/449mW VDD_SOC 1431mW/1431mW"
    ),
    # Orin NX 16GB (8 CPUs, 15657MB) / JetPack 6.x, no sudo (lower-case zones, bare GR3D_FREQ)  [T]
    "orin-nx-jp6": (
        "11-23-2025 22:47:56 RAM 1729/15657MB (lfb 8x4MB) SWAP 0/7828MB (cached 0MB) CPU "
        "[1%@1420,2%@1420,4%@1420,3%@1420,off,off,off,off] GR3D_FREQ 0% cv0@43.562C cpu@46.125C soc2@43.781C "
        "soc0@44.656C cv1@43.312C gpu@43C tj@46.937C soc1@46.937C cv2@43.781C VDD_IN 6120mW/6120mW "
        "VDD_CPU_GPU_CV 436mW/436mW VDD_SOC 2464mW/2464mW"
    ),
    # Orin Nano 8GB / JetPack 6.x, sudo (engines "off", GR3D @[f])  [C]
    "orin-nano-jp6-sudo": (
        "09-21-2025 15:38:17 RAM 3645/7620MB (lfb 63x4MB) SWAP 236/3810MB (cached 0MB) CPU "
        "[1%@729,1%@729,4%@729,1%@729,0%@729,0%@729] EMC_FREQ 0%@204 GR3D_FREQ 0%@[305] NVDEC off NVJPG off "
        "NVJPG1 off VIC off OFA off APE 200 cpu@44.125C soc2@43.375C soc0@42.125C gpu@44.531C tj@44.531C "
        "soc1@43.156C VDD_IN 2957mW/2957mW VDD_CPU_GPU_CV 486mW/486mW VDD_SOC 1012mW/1012mW"
    ),
    # Orin Nano 8GB / JetPack 6.x, no sudo  [C]
    "orin-nano-jp6": (
        "03-09-2026 14:12:52 RAM 1905/7620MB (lfb 36x4MB) SWAP 320/12002MB (cached 20MB) CPU "
        "[0%@729,0%@729,1%@729,0%@729,0%@729,0%@729] GR3D_FREQ 0% cpu@46.125C soc2@45.843C soc0@44.156C "
        "gpu@45.062C tj@46.125C soc1@46C VDD_IN 4742mW/4742mW VDD_CPU_GPU_CV 482mW/482mW VDD_SOC "
        "1446mW/1446mW"
    ),
    # AGX Orin 32GB / L4T R36 sudo (column padding, GR3D @[f,f], NVDLA/PVA)  [T]
    "agx-orin32-r36-sudo": (
        "RAM 29114/30697MB (lfb 3x4MB)    SWAP 4915/15348MB (cached 1MB) CPU "
        "[3%@729,4%@729,0%@729,1%@729,0%@2201,100%@2201,1%@2201,0%@2201,100%@2201,0%@2201,0%@2201,0%@2201] "
        "EMC_FREQ 1%@2133 GR3D_FREQ 0%@[305,305] NVENC      off  NVDEC    off NVJPG off NVJPG1    off        "
        " VIC        off          OFA           off          NVDLA0    off       NVDLA1     off          "
        "PVA0_FREQ off         APE           174        cpu@53.062C soc2@48.25C soc0@48.843C  gpu@47.812C "
        "tj@53.062C soc1@48.968C    VDD_GPU_SOC 3205mW/3205mW VDD_CPU_CV 4405mW/4405mW VIN_SYS_5V0 "
        "4767mW/4767mW"
    ),
    # AGX Orin 64GB / JetPack 6.x no sudo  [T]
    "agx-orin64-jp6": (
        "RAM 2448/62840MB (lfb 2x4MB) SWAP 0/31420MB (cached 0MB) CPU "
        "[0%@2201,0%@2201,0%@2201,0%@2201,0%@2201,0%@2201,0%@2201,0%@2201,0%@2201,0%@2201,0%@2201,0%@2201] "
        "GR3D_FREQ 0% cpu@42C soc2@37.843C soc0@39.187C gpu@37.75C tj@42C soc1@37.937C VDD_GPU_SOC "
        "4940mW/4940mW VDD_CPU_CV 988mW/988mW VIN_SYS_5V0 4442mW/4442mW"
    ),
    # AGX Orin 64GB / JetPack 7.2 (L4T R39.2) sudo: temps "now/max", power "now/avg/max", NO SWAP field  [C]
    "agx-orin64-jp72-sudo": (
        "07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU "
        "[23%@2201,10%@2201,4%@2201,14%@2201,30%@2201,18%@2201,10%@2201,10%@2201,33%@2201,7%@2201,5%@2201,27%"
        "@2201] EMC_FREQ 3%@3199 GR3D_FREQ 12%@[1300,1300] NVENC0 off NVDEC0 off NVJPG0 off NVJPG1 off VIC "
        "off OFA off NVDLA0 off NVDLA1 off PVA0_FREQ off APE 174 cpu@52.968C/52.968C soc2@48.406C/48.406C "
        "soc0@49.531C/49.531C gpu@47.625C/47.625C VDD_GPU_SOC 5139mW/5139mW/5139mW VDD_CPU_CV "
        "3268mW/3268mW/3268mW VIN_SYS_5V0 5500mW/5500mW/5500mW"
    ),
    # AGX Orin 64GB / JetPack 7.2 no sudo  [C]
    "agx-orin64-jp72": (
        "07-17-2026 15:15:27 RAM 8179/62817MB (lfb 1x4MB) CPU "
        "[35%@729,24%@729,16%@729,18%@729,21%@729,21%@729,15%@729,15%@729,27%@1113,20%@1113,28%@1113,32%@1113"
        "] GR3D_FREQ 32% cpu@51.968C/51.968C soc2@48.968C/48.968C soc0@49.406C/49.5C gpu@47.125C/47.125C "
        "tj@51.968C/51.968C soc1@47.906C/48.093C VDD_GPU_SOC 4385mW/3787mW/4385mW VDD_CPU_CV "
        "1196mW/897mW/1196mW VIN_SYS_5V0 5552mW/5274mW/5552mW"
    ),
    # Orin Nano 8GB / L4T R39 (JetPack 7.2)  [T]
    "orin-nano-r39": (
        "09-01-2026 09:25:18 RAM 5739/7546MB (lfb 1x2MB) SWAP 2047/2048MB (cached 209MB) CPU "
        "[72%@1728,75%@1728,88%@1728,79%@1728,87%@1728,78%@1728] GR3D_FREQ 33% cpu@50C/50C "
        "soc2@47.937C/47.937C soc0@48.437C/48.437C gpu@48.75C/48.75C tj@50C/50C soc1@48.5C/48.5C VDD_IN "
        "9761mW/9761mW/9761mW VDD_CPU_GPU_CV 4238mW/4238mW/4238mW VDD_SOC 1825mW/1825mW/1825mW"
    ),
    # AGX Thor / JetPack 7.0-7.1 no sudo: NO GR3D, NO EMC, gpu@ absent while the GPU is gated  [T]
    "thor-jp70": (
        "01-20-2026 22:46:22 RAM 17842/125772MB (lfb 79x4MB) CPU "
        "[0%@972,0%@972,0%@1566,0%@1566,0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,1%@972,0%@972,0%@972,0%@972"
        "] cpu@30.468C tj@31.218C soc012@30.218C soc345@31.218C VDD_GPU 0mW/0mW VDD_CPU_SOC_MSS "
        "5535mW/5535mW VIN_SYS_5V0 5040mW/5040mW VIN 16802mW/16802mW"
    ),
    # AGX Thor / L4T R38.4, more fields: GR3D has clocks only, *_FREQ @f engines  [C]
    "thor-r384": (
        "04-21-2026 15:50:52 RAM 105265/125772MB (lfb 34x4MB) CPU "
        "[0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,1%@972,0%@972,0%@972,0%@972,0%@972,8%@972,0%@972,0%@972] "
        "EMC_FREQ 0%@2750 GR3D_FREQ @[314,314,314] NVENC0_FREQ @314 NVENC1_FREQ @314 NVDEC0_FREQ @314 "
        "NVDEC1_FREQ @314 NVJPG0_FREQ @314 VIC off OFA_FREQ @315 PVA0_FREQ off APE 300 cpu@37.343C "
        "tj@38.875C soc012@37.468C gpu@38.875C soc345@37.406C VDD_GPU 1962mW/1962mW VDD_CPU_SOC_MSS "
        "5887mW/5887mW VIN_SYS_5V0 5635mW/5635mW VIN 19780mW/19780mW"
    ),
    # AGX Thor / JetPack 7.2 (kernel 6.8.12-l4t-r39.2.0): power now/avg/max  [C]
    "thor-jp72": (
        "07-02-2026 13:45:44 RAM 36529/125749MB (lfb 12x4MB) SWAP 11/4096MB (cached 9MB) CPU "
        "[2%@972,1%@972,0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,0%@972,2%@972] "
        "cpu@60.406C tj@63.281C soc012@58.468C gpu@62.906C soc345@63.281C VDD_GPU 37528mW/37528mW/37528mW "
        "VDD_CPU_SOC_MSS 18961mW/18961mW/18961mW VIN_SYS_5V0 18331mW/18331mW/18331mW VIN "
        "87426mW/43713mW/87426mW"
    ),
}
