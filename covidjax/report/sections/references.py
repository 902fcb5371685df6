"""What the draft cites: one entry in words for each key."""

REFERENCES = {
    "kermany2018": "Kermany DS, Goldbaum M, Cai W, et al. Identifying medical diagnoses and "
    "treatable diseases by image-based deep learning. Cell 2018;172(5):1122-1131. "
    "doi:10.1016/j.cell.2018.02.010",
    "cohen2020": "Cohen JP, Morrison P, Dao L. COVID-19 image data collection. 2020. "
    "arXiv:2003.11597",
    "coronahack": "Govi P. CoronaHack: chest X-ray dataset. Kaggle, 2020. "
    "https://www.kaggle.com/datasets/praveengovi/coronahack-chest-xraydataset",
    "tfds": "TensorFlow Datasets, a collection of ready-to-use datasets. "
    "https://www.tensorflow.org/datasets",
    "jax": "Bradbury J, Frostig R, Hawkins P, et al. JAX: composable transformations of "
    "Python+NumPy programs. 2018. https://github.com/jax-ml/jax",
    "flax": "Heek J, Levskaya A, Oliver A, et al. Flax: a neural network library and ecosystem "
    "for JAX. 2020. https://github.com/google/flax",
    "clahe": "Zuiderveld K. Contrast limited adaptive histogram equalization. In: Graphics Gems "
    "IV. Academic Press, 1994:474-485",
    "resnet": "He K, Zhang X, Ren S, Sun J. Deep residual learning for image recognition. CVPR "
    "2016:770-778. doi:10.1109/CVPR.2016.90",
    "batchnorm": "Ioffe S, Szegedy C. Batch normalization: accelerating deep network training by "
    "reducing internal covariate shift. ICML 2015. arXiv:1502.03167",
    "smoothing": "Szegedy C, Vanhoucke V, Ioffe S, Shlens J, Wojna Z. Rethinking the Inception "
    "architecture for computer vision. CVPR 2016. doi:10.1109/CVPR.2016.308",
    "adamw": "Loshchilov I, Hutter F. Decoupled weight decay regularization. ICLR 2019. "
    "arXiv:1711.05101",
    "adam": "Kingma DP, Ba J. Adam: a method for stochastic optimization. ICLR 2015. "
    "arXiv:1412.6980",
    "cosine": "Loshchilov I, Hutter F. SGDR: stochastic gradient descent with warm restarts. ICLR "
    "2017. arXiv:1608.03983",
    "averaging": "Polyak BT, Juditsky AB. Acceleration of stochastic approximation by averaging. "
    "SIAM J Control Optim 1992;30(4):838-855. doi:10.1137/0330046",
    "guo2017": "Guo C, Pleiss G, Sun Y, Weinberger KQ. On calibration of modern neural networks. "
    "ICML 2017. arXiv:1706.04599",
    "platt1999": "Platt J. Probabilistic outputs for support vector machines and comparisons to "
    "regularized likelihood methods. In: Advances in Large Margin Classifiers. MIT Press, "
    "1999:61-74",
    "kull2017": "Kull M, Silva Filho TM, Flach P. Beta calibration: a well-founded and easily "
    "implemented improvement on logistic calibration for binary classifiers. AISTATS 2017:623-631",
    "zadrozny2002": "Zadrozny B, Elkan C. Transforming classifier scores into accurate multiclass "
    "probability estimates. KDD 2002:694-699. doi:10.1145/775047.775151",
    "vancalster2019": "Van Calster B, McLernon DJ, van Smeden M, Wynants L, Steyerberg EW. "
    "Calibration: the Achilles heel of predictive analytics. BMC Med 2019;17:230. "
    "doi:10.1186/s12916-019-1466-7",
    "delong1988": "DeLong ER, DeLong DM, Clarke-Pearson DL. Comparing the areas under two or more "
    "correlated receiver operating characteristic curves. Biometrics 1988;44(3):837-845",
    "obuchowski1997": "Obuchowski NA. Nonparametric analysis of clustered ROC curve data. "
    "Biometrics 1997;53(2):567-578",
    "korn1998": "Korn EL, Graubard BI. Confidence intervals for proportions with small expected "
    "number of positive counts estimated from survey data. Surv Methodol 1998;24(2):193-201",
    "zou2008": "Zou GY, Donner A. Construction of confidence limits about effect measures: a "
    "general approach. Stat Med 2008;27(10):1693-1702. doi:10.1002/sim.3095",
    "brier1950": "Brier GW. Verification of forecasts expressed in terms of probability. Mon "
    "Weather Rev 1950;78(1):1-3",
    "hanley1982": "Hanley JA, McNeil BJ. The meaning and use of the area under a receiver "
    "operating characteristic (ROC) curve. Radiology 1982;143(1):29-36. "
    "doi:10.1148/radiology.143.1.7063747",
    "field2007": "Field CA, Welsh AH. Bootstrapping clustered data. J R Stat Soc B "
    "2007;69(3):369-390. doi:10.1111/j.1467-9868.2007.00593.x",
    "vickers2006": "Vickers AJ, Elkin EB. Decision curve analysis: a novel method for evaluating "
    "prediction models. Med Decis Making 2006;26(6):565-574. doi:10.1177/0272989X06295361",
    "gradcam": "Selvaraju RR, Cogswell M, Das A, et al. Grad-CAM: visual explanations from deep "
    "networks via gradient-based localization. ICCV 2017. doi:10.1109/ICCV.2017.74",
    "adebayo2018": "Adebayo J, Gilmer J, Muelly M, et al. Sanity checks for saliency maps. NeurIPS "
    "2018. arXiv:1810.03292",
    "geurts2006": "Geurts P, Ernst D, Wehenkel L. Extremely randomized trees. Mach Learn "
    "2006;63:3-42. doi:10.1007/s10994-006-6226-1",
    "geirhos2020": "Geirhos R, Jacobsen JH, Michaelis C, et al. Shortcut learning in deep neural "
    "networks. Nat Mach Intell 2020;2:665-673. doi:10.1038/s42256-020-00257-z",
    "degrave2021": "DeGrave AJ, Janizek JD, Lee SI. AI for radiographic COVID-19 detection selects "
    "shortcuts over signal. Nat Mach Intell 2021;3:610-619. doi:10.1038/s42256-021-00338-7",
    "roberts2021": "Roberts M, Driggs D, Thorpe M, et al. Common pitfalls and recommendations for "
    "using machine learning to detect and prognosticate for COVID-19 using chest radiographs and "
    "CT scans. Nat Mach Intell 2021;3:199-217. doi:10.1038/s42256-021-00307-0",
    "mohan2020": "Mohan S, Kadkhodaie Z, Simoncelli EP, Fernandez-Granda C. Robust and "
    "interpretable blind image denoising via bias-free convolutional neural networks. ICLR 2020. "
    "arXiv:1906.05478",
    "drunet": "Zhang K, Li Y, Zuo W, et al. Plug-and-play image restoration with deep denoiser "
    "prior. IEEE Trans Pattern Anal Mach Intell 2021. doi:10.1109/TPAMI.2021.3088914",
    "ffdnet": "Zhang K, Zuo W, Zhang L. FFDNet: toward a fast and flexible solution for CNN-based "
    "image denoising. IEEE Trans Image Process 2018. doi:10.1109/TIP.2018.2839891",
    "dncnn": "Zhang K, Zuo W, Chen Y, Meng D, Zhang L. Beyond a Gaussian denoiser: residual "
    "learning of deep CNN for image denoising. IEEE Trans Image Process 2017. "
    "doi:10.1109/TIP.2017.2662206",
    "vincent2008": "Vincent P, Larochelle H, Bengio Y, Manzagol PA. Extracting and composing "
    "robust features with denoising autoencoders. ICML 2008. doi:10.1145/1390156.1390294",
    "hinet": "Chen L, Lu X, Zhang J, Chu X, Chen C. HINet: half instance normalization network for "
    "image restoration. 2021. arXiv:2105.06086",
    "charbonnier": "Charbonnier P, Blanc-Feraud L, Aubert G, Barlaud M. Two deterministic "
    "half-quadratic regularization algorithms for computed imaging. ICIP 1994. "
    "doi:10.1109/ICIP.1994.413553",
    "foi2008": "Foi A, Trimeche M, Katkovnik V, Egiazarian K. Practical Poissonian-Gaussian noise "
    "modeling and fitting for single-image raw-data. IEEE Trans Image Process 2008. "
    "doi:10.1109/TIP.2008.2001399",
    "lee1980": "Lee JS. Digital image enhancement and noise filtering by use of local statistics. "
    "IEEE Trans Pattern Anal Mach Intell 1980. doi:10.1109/TPAMI.1980.4766994",
    "lin2006": "Lin CY, Lee WJ, Chen SJ, et al. A study of grid artifacts formation and "
    "elimination in computed radiographic images. J Digit Imaging 2006. "
    "doi:10.1007/s10278-006-0630-8",
    "gonzalez": "Gonzalez RC, Woods RE. Digital image processing. Pearson. Chapter 5.2",
    "bm3d": "Dabov K, Foi A, Katkovnik V, Egiazarian K. Image denoising by sparse 3-D "
    "transform-domain collaborative filtering. IEEE Trans Image Process 2007;16(8):2080-2095. "
    "doi:10.1109/TIP.2007.901238",
    "ssim": "Wang Z, Bovik AC, Sheikh HR, Simoncelli EP. Image quality assessment: from error "
    "visibility to structural similarity. IEEE Trans Image Process 2004. "
    "doi:10.1109/TIP.2003.819861",
    "msssim": "Wang Z, Simoncelli EP, Bovik AC. Multiscale structural similarity for image quality "
    "assessment. Asilomar Conference 2003. doi:10.1109/ACSSC.2003.1292216",
    "gmsd": "Xue W, Zhang L, Mou X, Bovik AC. Gradient magnitude similarity deviation: a highly "
    "efficient perceptual image quality index. IEEE Trans Image Process 2014. "
    "doi:10.1109/TIP.2013.2293423",
    "ulyanov2018": "Ulyanov D, Vedaldi A, Lempitsky V. Deep image prior. CVPR 2018. "
    "arXiv:1711.10925",
    "deepdecoder": "Heckel R, Hand P. Deep decoder: concise image representations from untrained "
    "non-convolutional networks. ICLR 2019. arXiv:1810.03982",
    "wang2023": "Wang H, Li T, Zhuang Z, et al. Early stopping for deep image prior. TMLR 2023. "
    "arXiv:2112.06074",
    "unet": "Ronneberger O, Fischer P, Brox T. U-Net: convolutional networks for biomedical image "
    "segmentation. MICCAI 2015. arXiv:1505.04597",
    "optuna": "Akiba T, Sano S, Yanase T, Ohta T, Koyama M. Optuna: a next-generation "
    "hyperparameter optimization framework. KDD 2019. arXiv:1907.10902",
    "tripodai": "Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement: updated guidance for "
    "reporting clinical prediction models that use regression or machine learning methods. BMJ "
    "2024;385:e078378. doi:10.1136/bmj-2023-078378",
    "claim": "Tejani AS, Klontzas ME, Gatti AA, et al. Checklist for artificial intelligence in "
    "medical imaging (CLAIM): 2024 update. Radiol Artif Intell 2024;6(4):e240300. "
    "doi:10.1148/ryai.240300",
}
