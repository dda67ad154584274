#!/bin/bash
clear
sudo docker build -t sales-predictor .
sudo docker run -it sales-predictor
