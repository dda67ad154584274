# sales_predictor.py

# Mock sales data (or pass it in later)
sales = [100, 120, 125]  # Last 3 weeks

# Simple average-based prediction
next_week = sum(sales) / len(sales)
print(f"Predicted sales for next week: {next_week}")
