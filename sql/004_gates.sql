-- Its number is taken; what it brings comes with its feature.
SELECT;
