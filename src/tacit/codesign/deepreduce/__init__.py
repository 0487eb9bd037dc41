"""DeepReDuce (Jha, Ghodsi, Garg and Reagen, ICML 2021): ReLUs removed by stage, by layer and by reshaping."""
